"""The same problem twice."""

import json
from pathlib import Path

import pytest

from evalharness.benchmarks.overlap import find_duplicates, find_near, find_shared
from evalharness.cli import main
from evalharness.records import Problem

LONG = "A train leaves the town at noon and travels {} miles in four hours. What is its speed?"


def _problem(text: str, name: str) -> Problem:
    return Problem(benchmark=name.partition("/")[0], problem_id=name, text=text, golds=("1",))


def test_equal_texts_are_found_whatever_their_marks() -> None:
    problems = [
        _problem("What is $1+1$?", "b/0"),
        _problem("what is 1 + 1", "b/1"),
        _problem("What is 1+2?", "b/2"),
    ]
    assert [(each.first, each.second) for each in find_duplicates(problems)] == [("b/0", "b/1")]
    pairs = find_shared(problems[:1], [_problem("WHAT IS 1+1?", "c/7")])
    assert [(held.problem_id, known.problem_id) for held, known in pairs] == [("c/7", "b/0")]


def test_a_near_duplicate_has_the_same_numbers_and_most_of_the_words() -> None:
    text = LONG.format(240)
    (found,) = find_near(
        [_problem(text, "b/0")],
        [
            _problem(text.replace("A train", "A fast train"), "c/0"),
            _problem(LONG.format(250), "c/1"),
            _problem("What is 240 over 4?", "c/2"),
        ],
    )
    assert (found.first, found.second, found.is_exact) == ("b/0", "c/0", False)
    # 20 words and signs make 18 triples. (a, train, leaves) goes, (a, fast, train) and
    # (fast, train, leaves) come: 17 of 20 are common.
    assert found.similarity == pytest.approx(17 / 20)


def test_benchmarks_check_names_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tables = {
        "one": [("What is 1+1?", "2"), ("what is 1 + 1", "2"), (LONG.format(240), "60")],
        "two": [(LONG.format(240), "60"), ("Which?", "\\frac{")],
        # A gold is nothing that training data need for this.
        "mine": [("Which ?", "")],
    }
    for name, rows in tables.items():
        lines = [json.dumps({"problem": text, "gold": gold}) for text, gold in rows]
        Path(f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    command = ["benchmarks", "check", "one.jsonl", "two.jsonl", "--training", "mine.jsonl"]
    assert main([*command, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["checked"] == {"one": 3, "two": 2}
    names = {
        key: [(each["first"], each["second"]) for each in found[key]]
        for key in ("duplicates", "shared", "near", "contaminated")
    }
    assert names == {
        "duplicates": [("one/0", "one/1")],
        "shared": [("one/2", "two/0")],
        "near": [],
        "contaminated": [("mine/0", "two/1")],
    }
    assert [each["problem_id"] for each in found["golds"]] == ["two/1"]
    assert main(command) == 1
    assert "two/1 is mine/0" in capsys.readouterr().out


def test_a_check_of_clean_data_exits_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmarks", "check", "aime24", "aime25"]) == 0
    assert "in two benchmarks: none" in capsys.readouterr().out


def test_training_data_without_check_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmarks", "aime24", "--training", "x.jsonl"]) == 2
    assert "benchmarks check" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("三加五等于几?", "中国的首都有几个字?"),
        ("Сколько ног у кошки?", "Как зовут собаку?"),
    ],
)
def test_different_problems_in_another_script_are_no_near_duplicates(one: str, other: str) -> None:
    # Their letters once counted for nothing, so that only the question mark was compared.
    assert find_near([_problem(one, "b/0")], [_problem(other, "c/0")]) == []


def test_a_near_duplicate_is_found_in_a_script_without_spaces() -> None:
    # 23 characters make 21 triples; one more in front makes 22, of which 21 are shared.
    text = "一列火车中午离开小镇在四小时内行驶了很多英里?"
    (found,) = find_near([_problem(text, "b/0")], [_problem(f"有{text}", "c/0")])
    assert found.similarity == pytest.approx(21 / 22)
