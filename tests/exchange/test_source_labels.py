import json
from pathlib import Path

import pytest

from evalharness import store
from evalharness.cli import build_parser, main
from evalharness.exporting import EXPORT_FORMATS
from evalharness.importing import FORMAT_NAMES
from evalharness.report.source_labels import compare_labels
from tests.exchange.made import imported, lm_eval_files, lm_eval_line


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Four responses: both right, only ours, only theirs, both wrong; a fifth has no label."""
    lines = [
        lm_eval_line(0, exact_match=1.0),
        lm_eval_line(1, exact_match=0.0),
        lm_eval_line(2, resps=[["\\boxed{9}"]], exact_match=1.0),
        lm_eval_line(3, resps=[["\\boxed{9}"]], exact_match=0.0),
        lm_eval_line(4, exact_match=0.5),
    ]
    imported(tmp_path / "run", lm_eval_files(tmp_path / "out", *lines))
    return tmp_path / "run"


def ours(run: Path) -> str:
    return next(name for name in store.verdict_names(run) if name != store.LABELS)


def test_disagreements_are_counted_by_direction_with_our_reason(run: Path) -> None:
    compared = compare_labels(run, ours(run))
    assert compared is not None
    (row,) = compared.rows
    assert {key: value for key, value in row.items() if isinstance(value, int)} == {
        "num_responses": 4,  # the fifth has no verdict of its source
        "both_correct": 1,
        "only_ours": 1,
        "only_theirs": 1,
        "both_wrong": 1,
    }
    first, second = compared.disagreements
    assert (first["problem_id"], first["theirs"], first["ours"]) == (
        "sums/1",
        "incorrect",
        "correct",
    )
    assert (second["problem_id"], second["extracted"], second["gold"]) == ("sums/2", "9", "3")
    table = compared.table()
    # theirs (1 + 1) / 4, ours (1 + 1) / 4
    assert table.rows[0][3:] == ("4", "50.0", "50.0", "1", "1", "1", "1")
    assert table.notes[0].startswith("The two verdicts agree on 2 of 4 responses")


def test_score_shows_them_again_and_json_stays_the_metrics_alone(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(run)]) == 0
    assert "Our verdicts beside the source's own" in capsys.readouterr().out
    assert main(["score", str(run), "--json"]) == 0
    printed = capsys.readouterr()
    assert {row["metric"] for row in json.loads(printed.out)} >= {"accuracy"}
    assert "Our verdicts beside the source's own" in printed.err


def test_a_run_without_labels_has_no_such_table(run: Path) -> None:
    (run / "verdicts" / f"{store.LABELS}.parquet").unlink()
    assert compare_labels(run, ours(run)) is None


def test_show_has_one_response_with_both(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(run), "sums/1"]) == 0
    printed = capsys.readouterr().out
    assert "→ correct: " in printed
    assert "its source says incorrect" in printed
    assert main(["show", str(run), "sums/4"]) == 0
    assert "its source says" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (["import", "x", "--out", "y", "--from"], FORMAT_NAMES),
        (["export", "x", "--format"], EXPORT_FORMATS),
    ],
)
def test_the_command_line_takes_every_format(command: list[str], names: tuple[str, ...]) -> None:
    for name in names:
        options = build_parser().parse_args([*command, name])
        assert name in (getattr(options, "source_format", None), getattr(options, "format", None))
