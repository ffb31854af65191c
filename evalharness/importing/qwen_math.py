"""The output files of the Qwen2.5-Math harness and its relatives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from evalharness.benchmarks.files import Row
from evalharness.definitions import display_path
from evalharness.errors import InputError
from evalharness.importing.cells import json_lines, need_list, need_text, right_or_wrong
from evalharness.importing.columns import SourceFile, Wanted

KEYS = frozenset({"idx", "gt", "code"})
_FILE = re.compile(
    r"[a-z]+_(?P<prompt>.+)_-?\d+_seed(?P<seed>\d+)_t(?P<temperature>[\d.]+)(?:_.*)?\.jsonl"
)
_PROBLEM = ("question", "problem")


def read_qwen_math(path: Path, wanted: Wanted) -> SourceFile:
    """One row a sample of `code`, with the harness's own score.

    The benchmark is the folder that the file lies in. The prompt type and the temperature stand in
    the file's name, the model in the folders between `outputs` and the benchmark.

    Raises:
        InputError: a row isn't of this form, with file and line.
    """
    if wanted.score not in (None, "score"):
        raise InputError(
            f'{display_path(path)}: --score {wanted.score}: these files have one, "score"'
        )
    named = _FILE.fullmatch(path.name)
    benchmark = path.resolve().parent.name
    model = _model(path)
    template = named["prompt"] if named else None
    rows = []
    for place, line in json_lines(path):
        code = need_list(place, "code", line.get("code"))
        scores = line.get("score")
        if scores is not None and len(need_list(place, "score", scores)) != len(code):
            raise InputError(f'{place}: {len(code)} texts in "code" but {len(scores)} in "score"')
        problem = next((line[key] for key in _PROBLEM if isinstance(line.get(key), str)), None)
        for sample, text in enumerate(code):
            cells: dict[str, Any] = {
                "benchmark": benchmark,
                "problem_id": line.get("idx"),
                "problem": problem,
                "gold": line.get("gt"),
                "response": need_text(place, "code", text, may_be_empty=True),
                "model": model,
                "template": template,
                "sample_index": sample,
                "label": None if scores is None else right_or_wrong(place, "score", scores[sample]),
            }
            rows.append(Row(place, cells))
    about: dict[str, Any] = {"harness": "qwen-math", "task": benchmark}
    if named:
        about |= {"temperature": named["temperature"], "seed": named["seed"]}
    return SourceFile(path=path, format="qwen-math", rows=rows, has_task_names=True, about=about)


def _model(path: Path) -> str | None:
    parts = path.resolve().parent.parent.parts
    if "outputs" not in parts:
        return None
    place = len(parts) - parts[::-1].index("outputs")
    names = [name for name in parts[place:] if not name.endswith("_eval")]
    return "/".join(names) or None
