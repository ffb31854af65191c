import json
import os
from pathlib import Path

import pandas as pd
import pytest

from evalharness import store
from evalharness.errors import InputError
from evalharness.importing import LABELS, import_responses

ROW = {
    "benchmark": "own",
    "problem_id": "own/0",
    "problem": "What is 1+1?",
    "gold": "2",
    "response": "It is \\boxed{2}.",
    "model": "m",
    "template": "t",
}


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make(folder: Path, *files: Path, **options: object) -> tuple[str, ...]:
    defaults: dict[str, object] = {"columns": {}, "constants": {}}
    return import_responses(list(files), folder, **(defaults | options)).notes  # type: ignore[arg-type]


def test_rows_become_a_run_with_verdicts_and_the_source_s_labels_beside_them(
    tmp_path: Path,
) -> None:
    rows = [
        ROW | {"label": True, "n_tokens": 7},
        ROW | {"problem_id": "own/1", "problem": "2+2?", "gold": "4", "label": True},
        ROW
        | {"problem_id": "own/2", "problem": "3+3?", "gold": "6", "response": "6", "label": None},
    ]
    notes = make(tmp_path / "run", write(tmp_path / "rows.jsonl", *rows))
    assert notes[0] == "3 responses; 0 of them to problems of known benchmarks"
    responses = pd.read_parquet(tmp_path / "run" / "responses.parquet")
    assert list(responses["num_tokens"].fillna(-1)) == [7, -1, -1]
    name = next(each for each in store.verdict_names(tmp_path / "run") if each != LABELS)
    ours = store.verdicts_frame(tmp_path / "run", name).set_index("problem_id")["status"]
    assert dict(ours) == {"own/0": "correct", "own/1": "incorrect", "own/2": "correct"}
    labels = store.verdicts_frame(tmp_path / "run", LABELS).set_index("problem_id")["status"]
    assert dict(labels) == {"own/0": "correct", "own/1": "correct"}


def test_columns_are_renamed_and_constants_filled_in(tmp_path: Path) -> None:
    row = {"question": "1+1?", "target": "2", "out": "\\boxed{2}", "id": 7}
    make(
        tmp_path / "run",
        write(tmp_path / "rows.jsonl", row),
        columns={"problem": "question", "gold": "target", "response": "out", "problem_id": "id"},
        constants={"model": "m", "template": "no", "benchmark": "own"},
    )
    (problem,) = store.read_problems(tmp_path / "run").values()
    assert (problem.problem_id, problem.text, problem.golds) == ("own/7", "1+1?", ("2",))
    assert store.read_spec(tmp_path / "run")["templates"]["no"]["answer_format"] == ["box"]


def test_samples_without_an_index_are_numbered_in_order(tmp_path: Path) -> None:
    rows = [ROW | {"response": str(number)} for number in range(3)]
    make(tmp_path / "run", write(tmp_path / "rows.jsonl", *rows))
    found = {row.sample_index: row.response for row in store.read_responses(tmp_path / "run")}
    assert found == {0: "0", 1: "1", 2: "2"}


def test_the_same_response_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    rows = [ROW | {"sample_index": 0}, ROW | {"sample_index": 0}]
    with pytest.raises(InputError, match=r"rows\.jsonl:2: .* stands at .*rows\.jsonl:1 already"):
        make(tmp_path / "run", write(tmp_path / "rows.jsonl", *rows))
    assert not (tmp_path / "run" / "responses.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"response": None}, r'rows\.jsonl:1: "response" must be a text'),
        ({"model": ""}, r'rows\.jsonl:1: "model" must be a text'),
        ({"gold": ""}, r"rows\.jsonl:1: gold: the gold is empty"),
        ({"gold": None}, r"rows\.jsonl:1: the row matches no problem .* no\s+gold of its own"),
        ({"n_tokens": 1.5}, r'rows\.jsonl:1: "n_tokens" must be a whole number'),
        ({"sample_index": -1}, r'rows\.jsonl:1: "sample_index" must not be negative'),
        ({"label": "yes"}, r"rows\.jsonl:1: label must be true or false"),
        ({"finish_reason": "eos"}, r"rows\.jsonl:1: finish_reason must be"),
        ({"problem": None, "problem_id": None}, r"rows\.jsonl:1: a row needs a problem or"),
    ],
)
def test_a_wrong_row_is_refused_with_its_line(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make(tmp_path / "run", write(tmp_path / "rows.jsonl", ROW | change))


def test_a_missing_column_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    row = {key: value for key, value in ROW.items() if key != "response"} | {"respons": "x"}
    with pytest.raises(InputError, match=r'no column "response"; did you mean "respons"\?'):
        make(tmp_path / "run", write(tmp_path / "rows.jsonl", row))


def test_one_id_for_two_problems_is_refused(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"problem": "What is 2+2?", "gold": "4"}]
    with pytest.raises(InputError, match=r"rows\.jsonl:2: own/0 stands for another problem"):
        make(tmp_path / "run", write(tmp_path / "rows.jsonl", *rows))


def test_a_folder_that_holds_a_run_is_not_written_over(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", ROW)
    make(tmp_path / "run", path)
    with pytest.raises(InputError, match="holds a run already"):
        make(tmp_path / "run", path)


@pytest.mark.skipif(not os.environ.get("EVALHARNESS_DATA"), reason="EVALHARNESS_DATA is not set")
def test_real_responses_of_a_known_benchmark_get_its_golds(tmp_path: Path) -> None:
    path = (
        Path(os.environ["EVALHARNESS_DATA"])
        / "outputs"
        / "skythought_aime24_checkpoints_short.jsonl"
    )
    notes = make(tmp_path / "run", path)
    assert notes[0] == "330 responses; 330 of them to problems of known benchmarks"
    problems = store.read_problems(tmp_path / "run")
    assert set(problems) == {f"aime24/{row}" for row in range(30)}
    name = next(each for each in store.verdict_names(tmp_path / "run") if each != LABELS)
    key = ["model", "problem_id"]
    ours = store.verdicts_frame(tmp_path / "run", name).set_index(key)["status"] == "correct"
    labels = store.verdicts_frame(tmp_path / "run", LABELS).set_index(key)["status"] == "correct"
    assert (ours == labels).all()  # 33 of 330, the same ones
    assert ours.sum() == 33
