"""One verdict for a person, in a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalharness.records import Judgement
from evalharness.report.terminal import visible


def render_verdict(
    found: Judgement,
    answer_format: Sequence[str],
    *,
    checker: str,
    policy: str,
    advice: str,
) -> str:
    """The status with its reason, then each side as it stands and as it was read.

    Args:
        found: the judgement.
        answer_format: where the answer was looked for.
        checker: its name and version.
        policy: where it comes from and what it changes.
        advice: what would have made it correct.
    """
    rows: list[tuple[str, Any]] = [("gold", found.gold), ("read as", found.gold_read)]
    if found.extracted is None:
        rows.append(("answer", f"none (looked for: {', '.join(answer_format)})"))
    else:
        where = f"{found.extraction}, characters {found.start} to {found.end}"
        rows.append(("answer", found.extracted))
        rows.append(("read as", found.answer_read))
        rows.append(("found by", f"{where}{', ' if found.note else ''}{found.note}"))
    if found.extracted is None and found.lenient_extracted is not None:
        where = f"by {found.lenient_extraction}: {found.lenient_status}"
        rows.append(("elsewhere", f"{found.lenient_extracted}, {where}"))
    decided = found.method or "nothing"
    rows.append(("decided by", f"{decided}, {found.num_milliseconds:.1f} ms, {checker}"))
    rows.append(("policy", policy))
    if advice:
        rows.append(("right is", advice))
    lines = [f"{found.status}: {found.reason}"]
    lines += [f"  {label:10} {value}" for label, value in rows if value is not None]
    return visible("\n".join(lines))
