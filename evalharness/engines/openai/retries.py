"""When a request is asked again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a request is asked again, with full jitter.

    Source: "Exponential Backoff and Jitter", AWS Architecture Blog, 2015: the wait is drawn
    uniformly between nothing and the growing bound, so that clients don't come back together.
    """

    num_attempts: int = 10
    first_seconds: float = 0.5
    """The bound of the first wait; each later one has twice the bound of the one before."""
    most_seconds: float = 60.0
    longest_retry_after: float = 600.0
    """A server that asks for more than this is not waited for."""

    def wait(self, attempt: int, retry_after: float | None, draw: float) -> float:
        """Seconds before attempt `attempt + 1`; `draw` lies in [0, 1).

        Never less than the server asked for, and spread beyond it.
        """
        bound = min(self.most_seconds, self.first_seconds * 2.0 ** min(attempt - 1, 32))
        return (retry_after or 0.0) + draw * bound


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """The Retry-After header, in seconds or as a date; None where there is none that can be read.

    Source: RFC 9110, section 10.2.3.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
        return seconds if 0 <= seconds < float("inf") else None
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())
