from __future__ import annotations

from evalharness.checking import CheckerPool
from tests.perf.fuzz_checker import LIMIT_SECONDS, STATUS_COUNTS, trial


def test_random_text_neither_breaks_nor_confuses_the_checker() -> None:
    STATUS_COUNTS.clear()
    with CheckerPool(num_workers=1, timeout_seconds=LIMIT_SECONDS) as pool:
        findings = [each for number in range(400) for each in trial(number, 0, pool)]
    assert findings == []
    # 200 of the trials are pairs, and not all of them end the same way.
    assert STATUS_COUNTS.total() == 200
    assert min(STATUS_COUNTS["correct"], STATUS_COUNTS["incorrect"]) > 5
