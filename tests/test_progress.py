from dataclasses import replace

import pytest

from evalharness.records import Verdict
from evalharness.report import progress as module
from evalharness.report.progress import RunProgress
from tests.test_store import response

VERDICT = Verdict(
    model="m",
    template="no",
    benchmark="own",
    problem_id="own/0",
    sample_index=0,
    status="correct",
    extracted="2",
    extraction="box",
    gold="2",
    method="exact",
    reason="the same",
    num_milliseconds=0.1,
)


def test_the_line_counts_responses_tokens_verdicts_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    progress = RunProgress(quiet=True)
    progress.expect(total=10, done=4)
    progress.stage("generating with m")
    now = 104.0
    progress.response(response())  # 5 tokens
    progress.response(replace(response(1), finish_reason="length", num_tokens=15))
    progress.judged(VERDICT)
    progress.judged(replace(VERDICT, status="incorrect"))
    # 20 tokens in 4 s; 2 responses in 4 s, 4 to go: 8 s
    assert progress.line() == (
        "6/10 responses · 5 tokens/s · 50.0% of 2 correct · 1 truncated · 0:08 left"
    )


def test_plain_lines_go_to_stderr_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with RunProgress() as progress:
        progress.expect(total=2, done=0)
        progress.stage("generating with [red]m[/red]")
        now = 5.0
        progress.response(response(0))
        now = 20.0
        progress.response(replace(response(1), finish_reason="error", error="NaN"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "generating with [red]m[/red]",
        "2/2 responses · 0 tokens/s · 0 truncated · 1 failed · 0:20 in all",
        "2/2 responses · 0 tokens/s · 0 truncated · 1 failed · 0:20 in all",
    ]
