import json
import os
from pathlib import Path

import pandas as pd
import pytest

from evalharness import store
from evalharness.cli import main
from evalharness.errors import InputError, StoreError
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


def test_an_import_that_broke_off_leaves_no_run_and_is_not_mixed_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    path = write(tmp_path / "rows.jsonl", ROW)
    with monkeypatch.context() as patch:
        patch.setattr(store.RunWriter, "compact", broken)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "run", path)
    with pytest.raises(StoreError, match=r"is not a run: it has no run\.json"):
        store.read_spec(tmp_path / "run")
    with pytest.raises(InputError, match="holds responses already: name another --out, or delete"):
        make(tmp_path / "run", path)


CSV = """\
problem_id,problem,gold,response,benchmark,model,template,sample_index,n_tokens,finish_reason,label
0,1+1?,2,\\boxed{2},own,m,t,0,12,stop,True
0,1+1?,2,,own,m,t,1,7.0,length,0
,1+2?,3,\\boxed{3},own,m,t,,,,
"""


def test_a_csv_has_numbers_labels_and_cells_without_a_value(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(CSV)
    make(tmp_path / "run", tmp_path / "rows.csv")
    found = {
        (row.problem_id == "own/0", row.sample_index): (row.num_tokens, row.finish_reason)
        for row in store.read_responses(tmp_path / "run")
    }
    assert found == {(True, 0): (12, "stop"), (True, 1): (7, "length"), (False, 0): (None, None)}
    labels = store.verdicts_frame(tmp_path / "run", LABELS).sort_values("sample_index")["status"]
    assert list(labels) == ["correct", "incorrect"]


def test_a_number_or_a_label_for_all_rows_is_one(tmp_path: Path) -> None:
    given = {"n_tokens": "7", "token_limit": "64", "sample_index": "3", "label": "false"}
    make(tmp_path / "run", write(tmp_path / "rows.jsonl", ROW), constants=given)
    (row,) = store.read_responses(tmp_path / "run")
    assert (row.num_tokens, row.token_limit, row.sample_index) == (7, 64, 3)
    assert list(store.verdicts_frame(tmp_path / "run", LABELS)["status"]) == ["incorrect"]
    with pytest.raises(InputError, match="\"token_limit\" must be a whole number, not '4k'"):
        make(tmp_path / "no", tmp_path / "rows.jsonl", constants={"token_limit": "4k"})


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("0,12,stop", "0,twelve,stop", 'rows.csv:2: "n_tokens" must be a whole number, not \'twe'),
        ("stop,True", "stop,yes", "rows.csv:2: label must be true or false, not 'yes'"),
        ("own,m,t,0,", "own,,t,0,", 'rows.csv:2: "model" must be a text'),
    ],
)
def test_a_wrong_cell_of_a_csv_is_refused_with_its_line(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    (tmp_path / "rows.csv").write_text(CSV.replace(before, after))
    with pytest.raises(InputError, match=message):
        make(tmp_path / "run", tmp_path / "rows.csv")


def test_an_id_that_parquet_made_a_fraction_of_is_the_same_id(tmp_path: Path) -> None:
    # One row without an id makes the column of pandas floats: 7.0 and NaN.
    rows = [ROW | {"problem_id": 7}, ROW | {"problem": "1+2?", "gold": "3", "problem_id": None}]
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    make(tmp_path / "run", tmp_path / "rows.parquet")
    assert "own/7" in store.read_problems(tmp_path / "run")


def test_rows_that_a_known_benchmark_does_not_have_are_counted_and_unverified(
    tmp_path: Path,
) -> None:
    known = ROW | {"benchmark": "practice", "problem": "Work out 8 + 3.", "gold": "11"}
    del known["problem_id"]
    stranger = known | {"problem": "Which number is missing from 1, 2, 4?", "gold": "3"}
    notes = make(tmp_path / "run", write(tmp_path / "rows.jsonl", known, stranger))
    assert notes[0] == "2 responses; 1 of them to problems of known benchmarks"
    assert notes[1].startswith("practice: 1 rows match none of its problems and count by golds of")
    about = store.read_spec(tmp_path / "run")["benchmarks"]["practice"]
    assert (about["fingerprint"], "num_published" in about) == (None, False)


def test_a_score_of_a_file_that_has_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--score acc: .* --map label="):
        make(tmp_path / "run", write(tmp_path / "rows.jsonl", ROW), score="acc")


def test_one_file_under_two_names_is_two_runs(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", ROW)
    for name in ("a", "b"):
        make(tmp_path / name, path, constants={"model": name})
    make(tmp_path / "again", path, constants={"model": "a"})
    ids = [store.read_spec(tmp_path / name)["run_id"] for name in ("a", "b", "again")]
    assert ids[0] == ids[2] != ids[1]


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


def test_a_length_that_nobody_knows_is_not_shown_as_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        ROW | {"n_tokens": 7},
        ROW | {"problem_id": "own/1", "problem": "2+2?", "gold": "4", "response": "4"},
    ]
    make(tmp_path / "run", write(tmp_path / "rows.jsonl", *rows))
    assert main(["show", str(tmp_path / "run")]) == 0
    known, unknown = capsys.readouterr().out.splitlines()
    assert known.split()[:4] == ["own/0", "1/1", "7", "tokens"]
    assert unknown.split()[:4] == ["own/1", "1/1", "–", "tokens"]
    assert main(["show", str(tmp_path / "run"), "--json"]) == 0
    assert [row["tokens_mean"] for row in json.loads(capsys.readouterr().out)] == [7, None]
