"""The practice problems as a task of lighteval, in the folder that PRACTICE_FOLDER names."""

import os

from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.requests import Doc


def prompt(line: dict, task_name: str) -> Doc:
    return Doc(task_name=task_name, query=line["problem"], choices=[line["gold"]], gold_index=0)


TASKS_TABLE = [
    LightevalTaskConfig(
        name="practice",
        prompt_function=prompt,
        hf_repo=os.environ["PRACTICE_FOLDER"],
        hf_subset="default",
        hf_avail_splits=["test"],
        evaluation_splits=["test"],
        generation_size=256,
        stop_sequence=[],
        metrics=[Metrics.expr_gold_metric],
        version=1,
    )
]
