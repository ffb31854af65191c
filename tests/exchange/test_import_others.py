import json
import os
import struct
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalharness import store
from evalharness.benchmarks import load_benchmark
from evalharness.errors import InputError
from evalharness.importing import archive
from tests.exchange.made import (
    HEADER,
    imported,
    inspect_log,
    inspect_sample,
    labels,
    lighteval_file,
    lighteval_row,
    lm_eval_files,
    lm_eval_line,
    statuses,
)


def test_an_inspect_log_becomes_responses_with_its_scorer_s_verdicts(tmp_path: Path) -> None:
    log = inspect_log(
        tmp_path / "a.eval",
        inspect_sample(0),
        inspect_sample(0, epoch=2, scores={"match": {"value": "I"}}),
        inspect_sample(1, scores={"match": {"value": "P"}}),
    )
    imported(tmp_path / "run", log)
    rows = store.read_responses(tmp_path / "run")
    assert [(row.problem_id, row.sample_index) for row in rows] == [
        ("sums/0", 0),
        ("sums/0", 1),
        ("sums/1", 0),
    ]
    assert (rows[0].model, rows[0].template) == ("openai/model", "inspect")
    assert (rows[0].num_tokens, rows[0].token_limit, rows[0].finish_reason) == (9, 64, "stop")
    assert labels(tmp_path / "run") == {"sums/0": "incorrect"}  # the last of the two epochs
    assert len(store.verdicts_frame(tmp_path / "run", "label@source")) == 2  # P is no verdict


def test_a_long_text_of_an_inspect_log_stands_in_its_attachments(tmp_path: Path) -> None:
    message = {"role": "assistant", "content": "attachment://abc"}
    sample = inspect_sample(
        output={"choices": [{"message": message, "stop_reason": "max_tokens"}]},
        attachments={"abc": "It is \\boxed{1}."},
    )
    imported(tmp_path / "run", inspect_log(tmp_path / "a.eval", sample))
    (row,) = store.read_responses(tmp_path / "run")
    assert (row.response, row.finish_reason) == ("It is \\boxed{1}.", "length")


def test_reasoning_goes_between_think_tags_before_the_answer(tmp_path: Path) -> None:
    content = [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "\\boxed{1}"}]
    message = {"role": "assistant", "content": content}
    sample = inspect_sample(output={"choices": [{"message": message, "stop_reason": "stop"}]})
    imported(tmp_path / "run", inspect_log(tmp_path / "a.eval", sample))
    (row,) = store.read_responses(tmp_path / "run")
    assert row.response == "<think>\nhm\n</think>\n\\boxed{1}"


def test_a_log_that_was_broken_off_says_how_to_end_it(tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("samples/0_epoch_1.json", json.dumps(inspect_sample()))
    for named in ("inspect", None):
        with pytest.raises(InputError, match=r"no header\.json: .* `inspect log recover`"):
            imported(tmp_path / "run", path, source_format=named)


def test_an_archive_of_a_version_to_come_is_refused_with_its_name(tmp_path: Path) -> None:
    path = inspect_log(tmp_path / "a.eval", inspect_sample())
    content = bytearray(path.read_bytes())
    # The list of members: its mark, the version that wrote one, the version that one needs.
    content[content.index(b"PK\x01\x02") + 6] = 214
    path.write_bytes(content)
    for named in (None, "inspect"):
        with pytest.raises(InputError, match=r"a\.eval: .*zip file version 21\.4"):
            imported(tmp_path / "run", path, source_format=named)


def test_a_plan_of_inspect_that_is_no_table_says_nothing(tmp_path: Path) -> None:
    path = inspect_log(tmp_path / "a.eval", inspect_sample(), header=HEADER | {"plan": "x"})
    imported(tmp_path / "run", path)
    assert store.read_spec(tmp_path / "run")["sources"][0]["generation"]


def test_lighteval_s_text_that_is_no_text_is_refused_with_the_file(tmp_path: Path) -> None:
    path = lighteval_file(tmp_path, lighteval_row(full=b"\xf8"))
    table = pq.read_table(path)
    assert table.schema.field("full").type == pa.binary()
    broken = pa.Array.from_buffers(pa.string(), 1, table["full"].chunk(0).buffers())
    table = table.set_column(table.schema.get_field_index("full"), "full", broken)
    pq.write_table(table, path)
    with pytest.raises(InputError, match="not a valid Parquet file"):
        imported(tmp_path / "run", path)


def test_a_member_packed_by_zstd_is_read(tmp_path: Path) -> None:
    # The standard library can't write this method before 3.14: the archive is made by hand.
    text = b'{"a": 1}' * 1000
    packed = pa.compress(text, "zstd", asbytes=True)
    assert archive._unpacked(packed, 93) == text
    assert archive._unpacked(packed + packed, 93) == text + text  # a long member has many frames


def test_a_zip_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 1000)
    log = inspect_log(tmp_path / "a.eval", inspect_sample(input="x" * 5000))
    with pytest.raises(InputError, match=r"samples/0_epoch_1\.json: \d+ bytes, more than 1000"):
        imported(tmp_path / "run", log)


def test_a_zip_bomb_that_lies_about_its_size_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = inspect_log(tmp_path / "a.eval", inspect_sample(input="x" * 50_000))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")  # the list of members: its entry for the sample
    struct.pack_into("<I", content, at + 24, 100)
    path.write_bytes(bytes(content))
    monkeypatch.setattr(archive, "MOST_BYTES", 10_000)
    with pytest.raises(InputError, match=r"unpacks to more than 10000 bytes"):
        imported(tmp_path / "run", path)


def test_a_changed_byte_in_an_archive_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as made:
        made.writestr("header.json", json.dumps(HEADER))
        made.writestr("samples/0_epoch_1.json", json.dumps(inspect_sample()))
    path.write_bytes(path.read_bytes().replace(b"boxed{1}", b"boxed{2}"))
    with pytest.raises(InputError, match="damaged: its checksum is another one"):
        imported(tmp_path / "run", path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": []}, None),
        ({"output": 3}, r'sample.*: "output" must be an object, not 3'),
        ({"epoch": "x"}, r'sample.*: "sample_index" must be a whole number'),
        ({"epoch": -5}, r'sample.*: "sample_index" must not be negative'),
        ({"input": [3]}, r'sample.*: "input" must be an object, not 3'),
        ({"scores": {"match": {"value": 7}}}, r'"match" must be a score from 0 to 1, not 7'),
        ({"input": "attachment://nowhere"}, r"the text attachment://nowhere is missing"),
    ],
)
def test_a_wrong_sample_is_refused_with_its_member(
    tmp_path: Path, changes: dict[str, object], message: str | None
) -> None:
    log = inspect_log(tmp_path / "a.eval", inspect_sample(**changes))
    if message is None:  # a sample that has no output yet is an empty response
        imported(tmp_path / "run", log)
        assert store.read_responses(tmp_path / "run")[0].response == ""
        return
    with pytest.raises(InputError, match=message):
        imported(tmp_path / "run", log)


def test_lighteval_details_become_responses_and_their_filling_is_not_counted(
    tmp_path: Path,
) -> None:
    cut = {"input": "Q", "text": ["hm hm"], "output_tokens": [[1, 2, 3, 4]]}
    path = lighteval_file(
        tmp_path / "out",
        lighteval_row(0),
        lighteval_row(1),
        lighteval_row(2, model_response=cut, metric={"extractive_match": 0.0}),
    )
    imported(tmp_path / "run", path)
    rows = store.read_responses(tmp_path / "run")
    assert {row.model for row in rows} == {"maker/model"}
    # 3 tokens before the end token 9; the third text ran into its limit of 4
    assert [row.num_tokens for row in rows] == [3, 3, 4]
    assert [row.finish_reason for row in rows] == ["stop", "stop", "length"]
    assert labels(tmp_path / "run") == {
        "sums/0": "correct",
        "sums/1": "correct",
        "sums/2": "incorrect",
    }
    assert statuses(tmp_path / "run")["sums/2"] == "no_answer"


def test_a_gold_that_is_none_of_the_choices_is_refused_with_its_row(tmp_path: Path) -> None:
    row = lighteval_row()
    row["doc"] = row["doc"] | {"gold_index": 4}
    path = lighteval_file(tmp_path / "out", lighteval_row(), row)
    with pytest.raises(InputError, match=r"row 1: gold_index 4 is none of the 1 choices"):
        imported(tmp_path / "run", path)


def test_outputs_of_the_qwen_harness_bring_model_prompt_and_scores_in_path_and_lists(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "outputs" / "Qwen" / "Qwen2.5-Math-7B" / "math_eval" / "sums"
    folder.mkdir(parents=True)
    path = folder / "test_qwen25-math-cot_-1_seed0_t0.6_s0_e-1.jsonl"
    row = {"idx": 4, "question": "1+1?", "gt": "2", "code": ["\\boxed{2}", "3"], "score": [True, 0]}
    path.write_text(json.dumps(row) + "\n")
    imported(tmp_path / "run", path)
    first, second = store.read_responses(tmp_path / "run")
    assert (first.model, first.template) == ("Qwen/Qwen2.5-Math-7B", "qwen25-math-cot")
    assert (first.problem_id, second.sample_index) == ("sums/4", 1)
    frame = store.verdicts_frame(tmp_path / "run", "label@source")
    assert list(frame["status"]) == ["correct", "incorrect"]
    path.write_text(json.dumps(row | {"score": [True]}) + "\n")
    with pytest.raises(InputError, match=r'jsonl:1: 2 texts in "code" but 1 in "score"'):
        imported(tmp_path / "other", path)


def test_an_unknown_file_is_explained_with_its_columns_and_the_flags(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"completion": "x", "benchmark": "b", "model": "m"}\n')
    with pytest.raises(InputError) as caught:
        imported(tmp_path / "run", path)
    text = str(caught.value)
    assert "It has benchmark, completion, model; template missing too." in text
    assert "--map response=..." in text
    assert "samples of lm-eval (lm-eval)" in text


def test_a_named_format_is_not_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(lm_eval_line()) + "\n")
    with pytest.raises(InputError, match=r'"code" must be a list, not None'):
        imported(tmp_path / "run", path, source_format="qwen-math")


def test_a_named_format_leaves_out_what_a_folder_holds_of_others(tmp_path: Path) -> None:
    folder = lm_eval_files(tmp_path / "in", lm_eval_line()).parent  # and the results beside it
    inspect_log(folder / "a.eval", inspect_sample())
    notes = imported(tmp_path / "run", folder, source_format="lm-eval")
    assert notes[0].startswith("1 responses;")
    assert any(note.startswith("left out, of another form than lm-eval: ") for note in notes)


def test_a_run_is_not_imported_again(tmp_path: Path) -> None:
    imported(tmp_path / "run", inspect_log(tmp_path / "a.eval", inspect_sample()))
    with pytest.raises(InputError, match="is a run already: score, compare and report take it"):
        imported(tmp_path / "again", tmp_path / "run")


def test_a_folder_without_responses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="no file in this folder holds responses"):
        imported(tmp_path / "run", tmp_path / "in")


def test_a_benchmark_that_the_user_names_keeps_its_name_and_its_golds(tmp_path: Path) -> None:
    # The text is that of practice/0, whose gold is 11.
    row = {"benchmark": "mine", "problem": "Work out 8 + 3.", "gold": "12", "response": "12"}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row | {"model": "m", "template": "t", "problem_id": "0"}) + "\n")
    imported(tmp_path / "run", path)
    assert statuses(tmp_path / "run") == {"mine/0": "correct"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"benchmark": ' + "7" * 5000 + "}", r"a\.jsonl:1: not valid JSON: Exceeds"),
        ("a.jsonl", '{"benchmark": ' + "[" * 90_000, r"a\.jsonl:1: not valid JSON: "),
        ("a.jsonl", "[1]", r"a\.jsonl:1: must be an object, not \[1\]"),
        ("a.jsonl", "\n\n", r"a\.jsonl: there are no rows"),
        ("a.json", "[" + "7" * 5000 + "]", r"a\.json: .*Exceeds"),
        ("a.json", "[" * 90_000, r"a\.json: "),
        ("a.parquet", "PAR1 nonsense", r"a\.parquet: "),
        ("a.eval", "PK nonsense", r"a\.eval: not a valid zip archive"),
        ("a.csv", "benchmark,model\n1\n", r"a\.csv:2: the header has 2 columns"),
        ("a.txt", "x", r"a\.txt: "),
    ],
)
def test_a_file_that_is_no_such_file_is_refused_with_its_name(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        imported(tmp_path / "run", tmp_path / name)


@pytest.mark.parametrize(
    ("cell", "value", "message"),
    [
        ("label", float("nan"), r"a\.jsonl:2: label must be true or false, not nan"),
        ("n_tokens", float("inf"), r'a\.jsonl:2: "n_tokens" must be a whole number, not inf'),
        ("sample_index", 10**25, r'a\.jsonl:2: "sample_index" is too large'),
        ("response", {"a": 1}, r'a\.jsonl:2: "response" must be a text'),
        ("gold", {"a": 1}, r"a\.jsonl:2: gold: the gold is"),
        ("model", ["m"], r'a\.jsonl:2: "model" must be a text'),
    ],
)
def test_a_cell_that_is_no_value_is_refused_with_its_line(
    tmp_path: Path, cell: str, value: object, message: str
) -> None:
    row = {"benchmark": "b", "problem": "1?", "gold": "1", "response": "1"}
    row |= {"model": "m", "template": "t"}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, cell: value}) + "\n")
    with pytest.raises(InputError, match=message):
        imported(tmp_path / "run", path)


@pytest.mark.skipif(not os.environ.get("EVALHARNESS_DATA"), reason="EVALHARNESS_DATA is not set")
def test_lighteval_s_prompt_around_a_known_problem_gets_the_known_gold(tmp_path: Path) -> None:
    problem = load_benchmark("math500").problems[3]
    row = lighteval_row()
    row["doc"] |= {
        "query": f"Solve the following problem. Think step by step.\n\n{problem.text}",
        "choices": ["ANSWER: a whole worked solution"],
        "task_name": "math_500|0",
    }
    path = lighteval_file(tmp_path / "out", row)
    imported(tmp_path / "run", path.rename(path.with_name("details.parquet")))
    assert store.read_problems(tmp_path / "run") == {"math500/3": problem}


def test_details_of_an_older_lighteval_are_read_too(tmp_path: Path) -> None:
    row = {
        "example": "What is 0+1?",
        "full_prompt": "Q: What is 0+1?",
        "gold": ["1"],
        "predictions": ["\\boxed{1}"],
        "metrics": {"extractive_match": 1.0},
        "cont_tokens": [[1, 2, 3]],
    }
    path = lighteval_file(tmp_path / "out", row)
    imported(tmp_path / "run", path)
    (response,) = store.read_responses(tmp_path / "run")
    assert (response.model, response.response, response.benchmark) == (
        "maker/model",
        "\\boxed{1}",
        "sums",
    )
    assert set(labels(tmp_path / "run").values()) == {"correct"}
    assert list(store.read_prompts(tmp_path / "run").values()) == ["Q: What is 0+1?"]


def test_lists_that_an_older_lighteval_wrote_as_python_text_are_not_evaluated(
    tmp_path: Path,
) -> None:
    row = {
        "example": "1?",
        "full_prompt": "1?",
        "gold": "['1']",
        "predictions": "[__import__('os').system('touch canary')]",
        "metrics": {"extractive_match": 1.0},
    }
    path = lighteval_file(tmp_path / "out", row)
    with pytest.raises(
        InputError, match=r"row 0: this version of lighteval wrote lists as the text"
    ):
        imported(tmp_path / "run", path)
