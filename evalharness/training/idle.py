"""The check at the start of a run that there is something to learn from."""

from __future__ import annotations

from evalharness.errors import TrainingError
from evalharness.training.config import RLConfig
from evalharness.training.metrics import StepMetrics

_PATIENCE = 10
"""Steps without anything to learn from, at the start of a run, before it is called off."""


class IdleCheck:
    """Calls a run off that has nothing to learn from since it began."""

    def __init__(self, config: RLConfig) -> None:
        self._config = config
        self._num_truncated = self._num_uniform = self._num_emptied = 0

    def see(self, metrics: StepMetrics) -> None:
        """Count one step.

        Raises:
            TrainingError: since the first step everything is truncated, no reward differs, or
                nothing is left by the filters.
        """
        config = self._config
        self._num_truncated += metrics.truncated == 1
        self._num_uniform += metrics.uniform_groups == 1
        self._num_emptied += metrics.num_trained == 0
        if metrics.step != _PATIENCE:
            return
        if self._num_truncated == _PATIENCE:
            raise TrainingError(
                f"every completion of {_PATIENCE} steps was cut at max_tokens {config.max_tokens}, "
                "and a truncated one gets no reward: raise --max-tokens, or train the model to "
                "end first (evalharness train sft)"
            )
        if config.needs_groups and self._num_uniform == _PATIENCE:
            what = "wrong" if metrics.reward == 0 else "right" if metrics.reward == 1 else "alike"
            raise TrainingError(
                f"in {_PATIENCE} steps all completions of every problem got the same reward (in "
                f"the last all are {what}): there is nothing to learn from. Look at the responses "
                f"(template {config.template}, problems {config.problems}), take problems that "
                "the model solves sometimes, or raise --group-size"
            )
        if self._num_emptied == _PATIENCE:
            raise TrainingError(
                f"in {_PATIENCE} steps the filters left no completion to learn from (the reward of "
                f"the last is {metrics.reward:.2f}): move --accuracy-low and --accuracy-high, or "
                "lower --filter-threshold"
            )
