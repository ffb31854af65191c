"""Requests and replies come out at the other end as they went in."""

import io

import pytest

from evalharness.checking import Policy
from evalharness.checking.extract import Extraction, extract
from evalharness.checking.judging import Outcome, Readings, judgement
from evalharness.checking.messages import (
    Comparison,
    Decided,
    Request,
    Submission,
    read_batch,
    read_line,
    reply_line,
    reply_of,
    request_bytes,
)

LOOSE = Policy(units="compare")
BATCH: list[Request] = [
    Submission("so \\boxed{25}\nand", ("25", "\u221a625"), ("box",), Policy()),
    Submission("caf\u00e9 \ud800 \x00", ("1",), ("box", "last"), LOOSE),
    Comparison(("25",), "5^2\n", LOOSE),
    Submission("", (), ("box",), Policy()),
    Comparison(("7",), "\u4e03", Policy()),
]
OUTCOME = Outcome(
    status="correct",
    gold="25",
    method="number",
    reason="equal \u2028 numbers\n",
    num_milliseconds=0.25,
    gold_read="25",
)


def test_a_batch_is_read_as_it_was_asked() -> None:
    file = io.BytesIO(request_bytes(BATCH, 11.0) + request_bytes(BATCH[:1], 2.0))
    batch = read_batch(file.readline(), file.read)
    assert batch.limit_seconds == 11.0
    assert list(batch.requests) == BATCH
    batch = read_batch(file.readline(), file.read)
    assert batch.limit_seconds == 2.0
    assert list(batch.requests) == BATCH[:1]
    assert file.read() == b""


RESPONSE = "caf\u00e9 <think>\\boxed{25} \ud800"
NOTHING, BOX = extract("nothing", ("box",)), extract(RESPONSE, ("box",))


@pytest.mark.parametrize("readings", [(BOX, BOX), (NOTHING, BOX), (NOTHING, NOTHING)])
def test_several_replies_are_one_line(readings: tuple[Extraction, Extraction]) -> None:
    request = Submission(RESPONSE, ("25",), ("box",), LOOSE)
    found = Readings(*readings, LOOSE)
    judged = judgement(found, OUTCOME)
    line = reply_line([found, Decided(found, judged), OUTCOME])
    assert line.index("\n") == len(line) - 1
    replies = read_line(line.encode("ascii"))
    asked = (request, request, BATCH[2])
    assert [reply_of(*pair) for pair in zip(replies, asked, strict=True)] == [
        found,
        judged,
        OUTCOME,
    ]


@pytest.mark.parametrize("line", [b"", b"nonsense", b"{}", b"null", b"\xff", b"[1"])
def test_another_line_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_line(line)


@pytest.mark.parametrize("reply", [{}, [], None, 1, [1, 2], [["box"], None, None], "ready"])
@pytest.mark.parametrize("request_", [BATCH[0], BATCH[2]])
def test_something_else_is_no_reply(reply: object, request_: Request) -> None:
    with pytest.raises(ValueError, match=r".*"):
        reply_of(reply, request_)
