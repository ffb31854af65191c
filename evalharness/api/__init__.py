"""The harness from Python: what the commands do, with frames as the result."""

from evalharness.api.comparing import compare
from evalharness.api.evaluating import evaluate
from evalharness.api.runs import Run, load_run

__all__ = ["Run", "compare", "evaluate", "load_run"]
