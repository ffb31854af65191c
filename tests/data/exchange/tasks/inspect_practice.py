"""The practice problems as a task of Inspect: `inspect eval inspect_practice.py`."""

from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.scorer import match
from inspect_ai.solver import generate

PROBLEMS = Path(__file__).resolve().parents[4] / "benchmarks" / "practice.jsonl"


@task
def practice() -> Task:
    """One chat turn a problem; right where the response ends in the gold."""
    return Task(
        dataset=json_dataset(str(PROBLEMS), FieldSpec(input="problem", target="gold")),
        solver=generate(),
        scorer=match(numeric=True),
    )
