"""Files that lm-eval, Inspect and lighteval really wrote; tests/data/exchange says how."""

from pathlib import Path

import pytest

from evalharness import store
from evalharness.report.source_labels import compare_labels
from tests.exchange.made import imported

DATA = Path(__file__).parent.parent / "data" / "exchange"
ROWS = range(4, 120, 5)  # every fifth practice problem


def counts(folder: Path) -> dict[str, int]:
    name = next(each for each in store.verdict_names(folder) if each != store.LABELS)
    compared = compare_labels(folder, name)
    assert compared is not None
    (row,) = compared.rows
    return {key: row[key] for key in ("both_correct", "only_ours", "only_theirs", "both_wrong")}


@pytest.mark.parametrize("harness", ["lm-eval", "inspect", "lighteval"])
def test_every_problem_is_recognised_by_its_text(tmp_path: Path, harness: str) -> None:
    notes = imported(tmp_path / "run", DATA / harness)
    assert notes[0] == "24 responses; 24 of them to problems of known benchmarks"
    assert set(store.read_problems(tmp_path / "run")) == {f"practice/{row}" for row in ROWS}


def test_lm_eval_s_filter_cuts_a_nested_box_short(tmp_path: Path) -> None:
    imported(tmp_path / "run", DATA / "lm-eval")
    found = counts(tmp_path / "run")
    assert found["only_theirs"] == 0
    run = tmp_path / "run"
    compared = compare_labels(run, store.verdict_names(run)[-1])
    assert compared is not None
    assert [(row["problem_id"], row["extracted"]) for row in compared.disagreements] == [
        ("practice/104", "\\frac{7}{6}"),
        ("practice/109", "\\frac{11}{14}"),
    ]


def test_lighteval_agrees_and_its_lengths_are_those_of_the_texts(tmp_path: Path) -> None:
    imported(tmp_path / "run", DATA / "lighteval")
    found = counts(tmp_path / "run")
    assert (found["only_ours"], found["only_theirs"]) == (0, 0)
    assert found["both_correct"] == 12  # its results file says 0.5 of 24
    for row in store.read_responses(tmp_path / "run"):
        # One token a byte; in the file the ids are filled up to the longest text of the batch.
        assert row.num_tokens == len(row.response.encode())
        assert (row.finish_reason, row.token_limit) == ("stop", 256)


def test_inspect_and_lighteval_asked_the_same_and_got_the_same(tmp_path: Path) -> None:
    imported(tmp_path / "inspect", DATA / "inspect")
    imported(tmp_path / "lighteval", DATA / "lighteval")
    first, second = (
        {row.problem_id: row.response for row in store.read_responses(tmp_path / name)}
        for name in ("inspect", "lighteval")
    )
    assert first == second
    assert counts(tmp_path / "inspect")["both_correct"] < 12  # the same texts, another grader


def test_our_reader_and_inspect_s_own_find_the_same_in_its_log(tmp_path: Path) -> None:
    inspect_log = pytest.importorskip("inspect_ai.log", reason="inspect_ai isn't installed")
    (path,) = (DATA / "inspect").glob("*.eval")
    log = inspect_log.read_eval_log(str(path))
    imported(tmp_path / "run", path)
    ours = sorted(row.response for row in store.read_responses(tmp_path / "run"))
    assert ours == sorted(sample.output.completion for sample in log.samples)
    labels = store.verdicts_frame(tmp_path / "run", store.LABELS)["status"]
    num_right = sum(sample.scores["match"].value == "C" for sample in log.samples)
    assert (labels == "correct").sum() == num_right


def test_tokens_are_counted_anew_where_the_file_s_are_taken_away(tmp_path: Path) -> None:
    tiny = Path(__file__).parent.parent.parent / "evalharness" / "checkpoints" / "tiny"
    pytest.importorskip("transformers", reason="the tokenizer needs transformers")
    imported(tmp_path / "run", DATA / "inspect", constants={"n_tokens": ""}, tokenizer=str(tiny))
    for row in store.read_responses(tmp_path / "run"):
        assert row.num_tokens == len(row.response.encode())
