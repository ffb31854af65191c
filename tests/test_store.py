import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalharness.errors import StoreError
from evalharness.records import Problem, Response, Verdict
from evalharness.store import (
    DAMAGED,
    JSONL,
    PARQUET,
    RunWriter,
    read_problems,
    read_prompts,
    read_responses,
    read_spec,
    read_verdicts,
    responses_frame,
    verdict_names,
    write_atomically,
)


def response(row: int = 0, sample: int = 0, text: str = "so \\boxed{2}") -> Response:
    return Response(
        model="m",
        template="no",
        benchmark="own",
        problem_id=f"own/{row}",
        sample_index=sample,
        seed=7,
        prompt_sha256="ab",
        prompt_tokens=3,
        response=text,
        num_tokens=5,
        token_limit=64,
        finish_reason="stop",
    )


def test_what_was_appended_is_read_back_from_jsonl_and_from_parquet(tmp_path: Path) -> None:
    rows = [response(0), response(1, text='quote " and\nnewline, é, \x00, 𝛑'), response(1, 1)]
    with RunWriter(tmp_path) as writer:
        writer.append(rows[:2])
        writer.append(rows[2:])
        assert read_responses(tmp_path) == rows
        writer.compact()
    (tmp_path / JSONL).unlink()
    assert read_responses(tmp_path) == rows
    assert list(pd.read_parquet(tmp_path / PARQUET)["problem_id"]) == ["own/0", "own/1", "own/1"]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None
)
@given(st.lists(st.text(), min_size=1, max_size=5))
def test_any_text_survives_the_round_trip(tmp_path: Path, texts: list[str]) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    rows = [response(index, text=text) for index, text in enumerate(texts)]
    with RunWriter(folder) as writer:
        writer.append(rows)
        writer.compact()
    assert read_responses(folder) == rows
    assert list(responses_frame(folder)["response"]) == texts


def test_half_a_character_is_replaced_not_lost_with_its_row(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as writer:
        writer.append([response(text="a\ud800b")])
        writer.compact()
    assert read_responses(tmp_path)[0].response == "a?b"


def test_a_torn_last_line_is_dropped_and_the_next_one_stands_whole(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as writer:
        writer.append([response(0), response(1)])
    path = tmp_path / JSONL
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert read_responses(tmp_path) == [response(0)]
    with RunWriter(tmp_path) as writer:
        assert writer.recover().finished == {response(0).key}
        writer.append([response(1)])
    assert path.read_bytes() == whole


def test_a_damaged_line_is_named_kept_aside_and_drawn_again(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as writer:
        writer.append([response(0), response(1), response(2)])
    path = tmp_path / JSONL
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:30] + b"\x00garbage\n" + lines[2])
    with pytest.raises(StoreError, match=r"responses.jsonl:2: damaged line"):
        read_responses(tmp_path)
    with RunWriter(tmp_path) as writer:
        recovered = writer.recover()
    assert recovered.damaged_lines == (2,)
    assert recovered.finished == {response(0).key, response(2).key}
    assert b"garbage" in (tmp_path / DAMAGED).read_bytes()


def test_a_response_that_was_written_twice_counts_once_and_the_later_one_counts(
    tmp_path: Path,
) -> None:
    failed = replace(response(), response="", finish_reason="error", error="engine died")
    with RunWriter(tmp_path) as writer:
        writer.append([failed])
        writer.compact()
        writer.append([response()])
        assert read_responses(tmp_path) == [response()]
        writer.compact()
    assert read_responses(tmp_path) == [response()]
    assert list(responses_frame(tmp_path)["finish_reason"]) == ["stop"]


def test_acknowledged_rows_survive_sigkill(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from tests.test_store import response
        from evalharness.store import RunWriter
        writer = RunWriter(Path(sys.argv[1]))
        for row in range(10**6):
            writer.append([response(row)])
            print(row, flush=True)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )
    assert process.stdout
    acknowledged = -1
    for line in process.stdout:
        acknowledged = int(line)
        if acknowledged == 40:
            os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()
    with RunWriter(tmp_path) as writer:
        stored = writer.recover().finished
    assert acknowledged >= 40
    assert {response(row).key for row in range(acknowledged + 1)} <= stored


def test_a_full_disk_is_said_in_words_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as writer:
        writer.append([response(0)])
        before = (tmp_path / JSONL).read_bytes()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, hard))
            with pytest.raises(StoreError, match="Every response stored before is safe"):
                writer.append([response(1, text="x" * 1000)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)
        assert (tmp_path / JSONL).read_bytes() == before
        writer.append([response(1)])
    assert read_responses(tmp_path) == [response(0), response(1)]


def test_a_folder_that_can_t_be_written_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another folder with --out"):
        RunWriter(tmp_path / "file" / "run")


def test_verdicts_are_replaced_whole_and_leave_no_temporary_file(tmp_path: Path) -> None:
    verdict = Verdict(
        model="m",
        template="no",
        benchmark="own",
        problem_id="own/0",
        sample_index=0,
        status="correct",
        extracted="2",
        extraction="box",
        gold="2",
        method="string",
        reason="the same",
        num_milliseconds=0.1,
    )
    with RunWriter(tmp_path) as writer:
        writer.write_verdicts("c@1", [verdict, replace(verdict, sample_index=1)])
        writer.write_verdicts("c@1", [replace(verdict, status="incorrect")])
    frame = pd.read_parquet(tmp_path / "verdicts" / "c@1.parquet")
    assert list(frame["status"]) == ["incorrect"]
    assert [path.name for path in (tmp_path / "verdicts").iterdir()] == ["c@1.parquet"]


def test_what_a_killed_writer_left_half_written_is_swept_and_no_living_one_s(
    tmp_path: Path,
) -> None:
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    (tmp_path / "verdicts").mkdir()
    for pid in (killed.pid, os.getpid()):
        (tmp_path / f".responses.parquet.{pid}.tmp").touch()
        (tmp_path / "verdicts" / f".evalharness@0.1.parquet.{pid}.tmp").touch()
    (tmp_path / ".notes.tmp").touch()
    RunWriter(tmp_path).close()
    assert {path.name for path in tmp_path.rglob(".*.tmp")} == {
        ".notes.tmp",
        f".responses.parquet.{os.getpid()}.tmp",
        f".evalharness@0.1.parquet.{os.getpid()}.tmp",
    }


def test_a_verdict_table_from_before_the_younger_fields_can_be_read(tmp_path: Path) -> None:
    texts = ("model", "template", "benchmark", "extracted", "extraction", "gold", "method")
    row = dict.fromkeys((*texts, "reason"), "x")
    old = pd.DataFrame(
        [row | {"problem_id": "x/0", "sample_index": 0, "status": "correct", "num_milliseconds": 1}]
    )
    (tmp_path / "verdicts").mkdir()
    old.to_parquet(tmp_path / "verdicts" / "c@0.parquet")
    (verdict,) = read_verdicts(tmp_path, "c@0")
    assert (verdict.status, verdict.lenient_status, verdict.start) == ("correct", None, None)
    with RunWriter(tmp_path) as writer:
        writer.write_verdicts("c@1", [verdict])
    assert list(read_verdicts(tmp_path, "c@1")) == [verdict]


def test_problems_and_prompts_are_read_back(tmp_path: Path) -> None:
    problems = [
        Problem(benchmark="own", problem_id="own/1", text="a", golds=("1", "2")),
        Problem(
            benchmark="own",
            problem_id="own/0",
            text="b",
            golds=("3",),
            corrected_golds=(),
            erratum="no answer",
        ),
    ]
    with RunWriter(tmp_path) as writer:
        writer.write_problems(problems)
        writer.write_prompts({"aa": "one"})
        writer.write_prompts({"bb": "two"})
    assert list(read_problems(tmp_path).values()) == problems
    assert read_prompts(tmp_path) == {"aa": "one", "bb": "two"}


def test_a_folder_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"it has no run\.json"):
        read_spec(tmp_path)
    with pytest.raises(StoreError, match="there is no such folder"):
        read_spec(tmp_path / "nothing")


def test_an_atomic_write_that_fails_leaves_the_old_text(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, json.dumps({"a": 1}))
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_the_verdicts_of_an_import_s_source_are_never_the_newest(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as writer:
        for name in ("ours@1", "label@source", "ours@2"):
            writer.write_verdicts(name, [])
    folder = tmp_path / "verdicts"
    # A copied folder has the times of the copy: here the source's table was copied last.
    for seconds, name in enumerate(("ours@2", "ours@1", "label@source"), start=1):
        os.utime(folder / f"{name}.parquet", (seconds, seconds))
    assert verdict_names(tmp_path) == ["label@source", "ours@2", "ours@1"]
