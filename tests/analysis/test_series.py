from typing import Any

import pytest

from evalharness.analysis.series import checkpoint_series, parse_step
from evalharness.errors import InputError


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("Sky-T1-math-correct-5K-32B-short-ckpts/checkpoint-105", 105),
        ("runs/qwen2.5-math-7b/global_step_200", 200),
        ("runs/grpo/step-00040/actor", 40),
        ("ckpt/200", 200),
        ("out/7b/1200", 1200),
        ("iter0000300", 300),
    ],
)
def test_the_step_of_a_checkpoint_s_name(model: str, found: int) -> None:
    step = parse_step(model)
    assert step is not None
    assert step[1] == found


@pytest.mark.parametrize("model", ["Qwen/Qwen2.5-Math-7B", "base", "org/model-v0.1", "gpt-4"])
def test_a_size_or_version_is_no_step(model: str) -> None:
    assert parse_step(model) is None


def test_checkpoints_of_one_folder_are_one_series() -> None:
    assert parse_step("a/checkpoint-10") == ("a", 10)
    assert parse_step("a/checkpoint-20/hf") == ("a/hf", 20)
    assert parse_step("b/checkpoint-10") == ("b", 10)
    assert parse_step("step-10") == ("", 10)


def _row(model: str, metric: str = "accuracy", benchmark: str = "b") -> dict[str, Any]:
    return {
        "benchmark": benchmark,
        "model": model,
        "template": "t",
        "metric": metric,
        "value": 0.5,
    }


def test_a_series_is_in_the_order_of_steps_and_not_of_names() -> None:
    rows = [_row(f"a/checkpoint-{step}") for step in (100, 20, 3)]
    rows += [_row("a/checkpoint-20", "tokens_incorrect"), _row("a/checkpoint-20", "no_answer")]
    found = checkpoint_series([*rows, _row("base"), _row("b/checkpoint-1")])
    assert [point.step for point in found] == [3, 20, 100]
    assert {point.series for point in found} == {"a"}  # b has only one step
    assert list(found[1].metrics) == ["accuracy", "tokens_incorrect"]


def test_steps_can_be_given() -> None:
    rows = [_row("final"), _row("base"), _row("other")]
    found = checkpoint_series(rows, {"base": 0, "final": 300})
    assert [(point.model, point.step) for point in found] == [("base", 0), ("final", 300)]


def test_two_checkpoints_of_one_step_are_refused() -> None:
    with pytest.raises(InputError, match="both step 10"):
        checkpoint_series([_row("a/checkpoint-10"), _row("a/step-10")])
