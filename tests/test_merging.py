"""Shards of a run, and the run that is made of them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalharness.cli import main
from evalharness.engines.base import Completion, Request
from evalharness.errors import InputError, StoreError
from evalharness.merging import merge_shards
from evalharness.plan import Shard, response_keys
from evalharness.plan import sorted_places as dealt_places
from evalharness.records import Problem, ResponseKey
from evalharness.store import (
    JSONL,
    PARQUET,
    RunWriter,
    StoredResponses,
    read_responses,
    read_spec,
    verdict_names,
    verdicts_frame,
)
from tests.scripted import ScriptedEngine, answer_two

KEY = ["model", "template", "problem_id", "sample_index"]


@given(
    counts=st.tuples(*[st.integers(1, 4)] * 4),
    num_shards=st.integers(1, 9),
)
def test_shards_share_out_every_key_once_and_evenly(
    counts: tuple[int, int, int, int], num_shards: int
) -> None:
    num_models, num_templates, num_problems, num_samples = counts
    what = (
        [f"m{row}" for row in range(num_models)],
        [f"t{row}" for row in range(num_templates)],
        [f"p/{row}" for row in range(num_problems)],
        num_samples,
    )
    whole = response_keys(*what)
    num_shards = min(num_shards, len(whole))
    parts = [
        response_keys(*what, Shard(number=number, num_shards=num_shards))
        for number in range(num_shards)
    ]
    assert sorted(key for part in parts for key in part) == sorted(whole)
    assert len(set(whole)) == num_models * num_templates * num_problems * num_samples
    # The same keys where they come sorted, one after the other.
    problems = [Problem(benchmark="p", problem_id=name, text="", golds=()) for name in what[2]]
    for number, part in enumerate(parts):
        shard = Shard(number=number, num_shards=num_shards)
        places = list(dealt_places(what[0], what[1], problems, num_samples, shard))
        assert places == sorted(places)
        assert sorted(ResponseKey(*place[2:4], place[1], place[4]) for place in places) == sorted(
            part
        )
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("text", ["4/4", "-1/4", "1", "1/", "/4", "a/b", "0/0", "1/4/2"])
def test_a_shard_that_is_none_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(InputError, match="the shards of four are 0/4"):
        Shard.from_text(text)


ARGUMENTS = ["run", "--engine", "scripted", "--model", "m", "--benchmark", "sums.jsonl"]
ARGUMENTS += ["--template", "r1,no", "--samples", "2", "--temperature", "1"]
ARGUMENTS += ["--max-tokens", "64", "--quiet"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven problems of two samples under two templates: 28 responses, whole and in three parts."""
    folder = tmp_path_factory.mktemp("shards")
    rows = [{"problem": f"What is {gold}+0?", "gold": str(gold)} for gold in range(7)]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ScriptedEngine().use(patch)
        assert main([*ARGUMENTS, "--out", "whole"]) == 0
        for number in range(3):
            assert main([*ARGUMENTS, "--shard", f"{number}/3", "--out", f"part-{number}"]) == 0
    return folder


@pytest.fixture
def folders(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The three shards, to be spoilt."""
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    ScriptedEngine().use(monkeypatch)
    return [Path(f"part-{number}") for number in range(3)]


def test_merged_shards_are_the_run_that_one_process_makes(folders: list[Path]) -> None:
    # 28 responses over three shards.
    assert [len(read_responses(folder)) for folder in folders] == [10, 9, 9]
    assert read_spec(folders[1])["identity"]["shard"] == "1/3"
    assert main(["merge", *map(str, folders), "--out", "merged"]) == 0
    whole, merged = Path("whole"), Path("merged")
    assert sorted(read_responses(merged), key=str) == sorted(read_responses(whole), key=str)
    specs = [read_spec(folder) for folder in (whole, merged)]
    assert specs[0]["run_id"] == specs[1]["run_id"]
    assert specs[0]["models"] == specs[1]["models"]
    assert specs[1]["status"] == "complete"
    assert len(specs[1]["sessions"]) == 3
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (whole, merged)]
    assert metrics[0] == metrics[1]
    [name] = verdict_names(merged)
    tables = [
        verdicts_frame(folder, name).set_index(KEY).sort_index() for folder in (whole, merged)
    ]
    columns = ["status", "extracted", "reason"]
    pd.testing.assert_frame_equal(tables[0][columns], tables[1][columns])


def test_the_command_without_shard_goes_on_in_the_merged_folder(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_shards(folders, Path("merged"))
    again = ScriptedEngine()
    again.use(monkeypatch)
    assert main([*ARGUMENTS, "--out", "merged"]) == 0
    assert again.asked == []


def test_another_shard_in_the_same_folder_is_refused(
    folders: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ARGUMENTS, "--shard", "1/3", "--out", "part-0"]) == 2
    assert "shard: 0/3 -> 1/3" in capsys.readouterr().err


def test_missing_and_doubled_shards_are_named(folders: list[Path]) -> None:
    first, second, third = folders
    shutil.copytree(first, "copy")
    with pytest.raises(StoreError, match="1/3 is missing"):
        merge_shards([first, third], Path("merged"))
    with pytest.raises(StoreError, match=r"0/3 is there 2 times: (part-0, copy|copy, part-0)"):
        merge_shards([first, second, third, Path("copy")], Path("merged"))
    assert not Path("merged").exists()


def test_parts_of_different_runs_are_refused_with_what_differs(folders: list[Path]) -> None:
    first, second, third = folders
    assert main([*ARGUMENTS, "--seed", "5", "--shard", "2/3", "--out", "other"]) == 0
    with pytest.raises(StoreError, match=r"What differs:\n  sampling\.seed: 0 -> 5"):
        merge_shards([first, second, Path("other")], Path("merged"))
    spec = read_spec(third)
    spec["models"]["m"]["revision"] = "another checkpoint"
    (third / "run.json").write_text(json.dumps(spec))
    with pytest.raises(StoreError, match="m, revision: r1 -> another checkpoint"):
        merge_shards([first, second, third], Path("merged"))
    assert main([*ARGUMENTS, "--shard", "1/2", "--out", "half"]) == 0
    with pytest.raises(StoreError, match="number of shards: 3 -> 2"):
        merge_shards([first, Path("half")], Path("merged"))


def test_an_unfinished_shard_is_refused_before_anything_is_written(folders: list[Path]) -> None:
    (folders[1] / "responses.parquet").unlink()
    lines = (folders[1] / JSONL).read_bytes().splitlines(keepends=True)
    (folders[1] / JSONL).write_bytes(b"".join(lines[:-2]))
    with pytest.raises(StoreError, match="part-1: 2 of 9 responses are missing, such as m no sums"):
        merge_shards(folders, Path("merged"))
    assert not Path("merged").exists()


def test_responses_of_another_shard_are_refused_before_anything_is_written(
    folders: list[Path],
) -> None:
    with RunWriter(folders[1]) as writer:
        writer.append(read_responses(folders[0])[:1])
        writer.compact()
    with pytest.raises(StoreError, match=r"part-1: 1 responses belong to another shard, such as m"):
        merge_shards(folders, Path("merged"))
    assert not Path("merged").exists()


def test_a_table_that_another_program_has_shuffled_is_merged_as_any_other(
    folders: list[Path],
) -> None:
    for folder in folders:
        table = pq.read_table(folder / PARQUET)
        backwards = pa.Table.from_batches(
            [batch.take(pa.array(range(len(batch))[::-1])) for batch in table.to_batches()]
        )
        pq.write_table(backwards.replace_schema_metadata(table.schema.metadata), folder / PARQUET)
    merge_shards(folders, Path("merged"))
    places = list(StoredResponses(Path("merged")).places())
    assert len(places) == 28
    assert places == sorted(places)
    stored = [json.loads(line) for line in (Path("merged") / JSONL).read_text().splitlines()]
    assert [(each["problem_id"], each["template"], each["sample_index"]) for each in stored] == [
        (problem, template, sample) for _, problem, _, template, sample in places
    ]


def test_a_run_that_is_no_shard_is_refused(folders: list[Path]) -> None:
    with pytest.raises(StoreError, match="whole is not a shard"):
        merge_shards([Path("whole")], Path("merged"))


def test_failed_responses_are_merged_as_failed_and_said(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_at_six(request: Request) -> Completion:
        answer = answer_two(request)
        if request.key.problem_id != "sums/6":
            return answer
        return replace(answer, text="", num_tokens=None, finish_reason="error", error="no luck")

    ScriptedEngine(fails_at_six).use(monkeypatch)
    halves = [Path("half-0"), Path("half-1")]
    for number, folder in enumerate(halves):
        # sums/6 has four responses, two in each shard.
        assert main([*ARGUMENTS, "--shard", f"{number}/2", "--out", str(folder)]) == 2
    result = merge_shards(halves, Path("merged"))
    assert result.num_responses == 28
    assert "4 responses failed" in result.notes[0]
    assert read_spec(Path("merged"))["status"] == "complete but for failed responses"


def test_more_shards_than_responses_are_refused_before_a_folder_is_made(
    folders: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ARGUMENTS, "--shard", "0/29", "--out", "part"]) == 2
    assert "the run has 28 responses: take as many shards or fewer" in capsys.readouterr().err
    assert not Path("part").exists()
