from pathlib import Path

import pytest

from evalharness.analysis.published import beside_published, load_published
from evalharness.errors import InputError

DRGRPO = Path(__file__).parents[2] / "reports" / "published" / "drgrpo.toml"


def test_the_published_table_has_one_impossible_number_and_it_is_corrected() -> None:
    table = load_published(DRGRPO)
    assert len(table.rows) == 11
    wrong = [row for row in table.rows if row.errors]
    assert [(row.model, row.template) for row in wrong] == [("Qwen2.5-Math-7B", "no")]
    assert wrong[0].accuracies["aime24"] == 20.0
    assert "0.2% of 30 is impossible" in wrong[0].errors[1]


def test_a_wrong_average_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text(
        'title = "t"\nsource = "s"\n[problems]\na = 10\nb = 10\n'
        '[[row]]\nmodel = "m"\ntemplate = "t"\na = 20.0\nb = 30.0\nmacro = 26.0\n'
    )
    (row,) = load_published(path).rows
    assert row.errors == ("the average of the benchmarks is 25.0, not 26.0",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('titel = "t"\n', 't.toml:1: unknown key "titel"; did you mean "title"?'),
        ('title = "t"\nsource = "s"\n', 'the key "problems" is missing'),
        ('title = "t"\n[problems]\na = "x"\n', 't.toml:3: "a" must be a number of problems'),
        (
            'title = "t"\nsource = "s"\n[problems]\na = 3\n[[row]]\nmodle = "m"\n',
            't.toml:6: unknown key "modle"; did you mean "model"?',
        ),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_published(path)
    assert message in str(caught.value)


def _metric(benchmark: str, value: float, low: float, high: float, n: int) -> dict[str, object]:
    return {
        "benchmark": benchmark,
        "model": "mine",
        "template": "no",
        "metric": "accuracy",
        "value": value,
        "low": low,
        "high": high,
        "n": n,
    }


def test_a_published_row_is_laid_beside_ours() -> None:
    metrics = [
        _metric("aime24", 0.1, 0.03, 0.26, 30),
        _metric("amc", 0.5, 0.35, 0.65, 40),
        _metric("practice", 0.9, 0.8, 0.95, 100),
    ]
    found = beside_published(
        load_published(DRGRPO), "Qwen2.5-Math-1.5B", "no", metrics, "mine", "no"
    )
    assert [each.benchmark for each in found] == ["aime24", "amc"]
    aime, amc = found
    assert (aime.published, aime.ours) == (pytest.approx(0.167), 0.1)
    # Newcombe: Wilson of 0.167 in 30 is [0.0736, 0.3360]:
    # low = -0.067 - sqrt(0.07^2 + 0.1690^2) = -0.2499; high = -0.067 + sqrt(0.16^2 + 0.0934^2)
    assert aime.low == pytest.approx(-0.2499, abs=5e-4)
    assert aime.high == pytest.approx(0.1183, abs=5e-4)
    assert "not paired" in aime.notes[0]
    assert amc.notes[1] == "ours has 40 problems, the published one 83"


def test_an_unknown_row_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no row Qwen:no; it has Qwen2\.5-Math-1\.5B:no"):
        beside_published(load_published(DRGRPO), "Qwen", "no", [], "mine", "no")
