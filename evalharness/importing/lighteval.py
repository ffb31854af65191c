"""The details that lighteval saves with `--save-details`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evalharness.benchmarks.files import Row
from evalharness.definitions import display_path
from evalharness.errors import InputError
from evalharness.importing.cells import (
    need_list,
    need_table,
    need_text,
    read_object,
    right_or_wrong,
    shown,
)
from evalharness.importing.columns import PROBLEM_IS_PROMPT, SourceFile, Wanted

KEYS = frozenset({"doc", "model_response", "metric"})
OLDER_KEYS = frozenset({"full_prompt", "predictions", "gold", "metrics"})
"""Of versions before 0.11."""
_FILE = re.compile(r"details_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.parquet")
_BATCH_ROWS = 256
_PREFERRED = ("extractive_match",)


def read_lighteval(path: Path, wanted: Wanted) -> SourceFile:
    """One row a generated text, with the task's own score.

    Where a problem was sampled more than once lighteval has one score for all of its texts, so none
    is taken.

    Raises:
        InputError: the file isn't Parquet of this form, or a row of it isn't, with its number.
    """
    named = _FILE.fullmatch(path.name)
    task = _short(named["task"]) if named else None
    results = _results(path, named["time"]) if named else {}
    general = results.get("config_general") or {}
    model, config = _model(path, general)
    rows: list[Row] = []
    metrics: dict[str, None] = {}
    read = [
        (place, _newer(place, cells) if cells.keys() >= KEYS else _older(place, cells))
        for place, cells in _parquet_rows(path)
    ]
    end = _end_id(parts["tokens"] for _, parts in read)
    for place, parts in read:
        metrics |= dict.fromkeys(parts["scores"])
        rows += _rows(place, parts, task, model, wanted.score, end)
    if wanted.score is not None and wanted.score not in metrics:
        raise InputError(
            f"{display_path(path)}: --score {wanted.score}: no such metric; there are "
            f"{', '.join(metrics)}"
        )
    chosen = wanted.score or _usual(metrics)
    about = task or display_path(path)
    notes = []
    if len(metrics) > 1:
        others = ", ".join(name for name in metrics if name != chosen)
        notes.append(
            f"{about}: the score {chosen} is taken as the source's verdict, not {others}: --score "
            "names another"
        )
    if end is None:
        notes.append(f"{about}: the generated ids show no end token: token counts may include it")
    else:
        notes.append(
            f"{about}: token counts leave out the id {end}, which ends and fills the texts"
        )
    return SourceFile(
        path=path,
        format="lighteval",
        rows=rows,
        has_task_names=True,
        about={
            "harness": "lighteval",
            "task": task,
            "score": chosen,
            "lighteval_sha": general.get("lighteval_sha"),
            "generation": config.get("generation_parameters"),
        },
        notes=tuple(notes),
    )


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = display_path(path)
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for cells in batch.to_pylist():
                    yield f"{name}: row {number}", cells
                    number += 1
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"{name}: not a valid Parquet file: {error}") from error
    if number == 0:
        raise InputError(f"{name}: there are no rows in it")


def _newer(place: str, cells: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a row that this reader needs, of lighteval 0.11 and later."""
    doc = need_table(place, "doc", cells["doc"])
    response = need_table(place, "model_response", cells["model_response"])
    given = response.get("input")
    return {
        "identifier": doc.get("id"),
        "task": doc.get("task_name"),
        "problem": doc.get("query"),
        "gold": _gold(place, doc),
        "prompt": given if isinstance(given, str) else None,
        "texts": need_list(place, "text", response.get("text")),
        "tokens": response.get("output_tokens"),
        "limit": doc.get("generation_size"),
        "scores": need_table(place, "metric", cells["metric"]),
    }


def _older(place: str, cells: Mapping[str, Any]) -> dict[str, Any]:
    """The same of the versions before."""
    if isinstance(cells.get("predictions"), str):
        raise InputError(
            f"{place}: this version of lighteval wrote lists as the text of Python code, which is "
            "not evaluated here: write the columns problem, gold and response anew, or run it with "
            "a later version"
        )
    return {
        "identifier": None,
        "task": None,
        "problem": cells.get("example"),
        "gold": cells.get("gold"),
        "prompt": cells.get("full_prompt"),
        "texts": need_list(place, "predictions", cells.get("predictions")),
        "tokens": cells.get("cont_tokens"),
        "limit": None,
        "scores": need_table(place, "metrics", cells.get("metrics")),
    }


def _gold(place: str, doc: Mapping[str, Any]) -> list[str]:
    choices = need_list(place, "choices", doc.get("choices"))
    index = doc.get("gold_index")
    places = index if isinstance(index, list) else [index]
    golds = []
    for at in places:
        if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at < len(choices):
            raise InputError(
                f"{place}: gold_index {shown(at)} is none of the {len(choices)} choices"
            )
        golds.append(need_text(place, "choices", choices[at]))
    return golds


def _rows(
    place: str,
    parts: Mapping[str, Any],
    task: str | None,
    model: str | None,
    wanted: str | None,
    end: int | None,
) -> list[Row]:
    texts, tokens, scores = parts["texts"], parts["tokens"], parts["scores"]
    if not texts:
        raise InputError(
            f"{place}: the task compares the likelihoods of given answers, it generates no text: "
            "there is nothing to check"
        )
    name = wanted or _usual(scores)
    label = None
    if name is not None and len(texts) == 1:
        label = right_or_wrong(place, name, scores.get(name))
    own = parts["task"]
    rows = []
    for sample, text in enumerate(texts):
        ids = tokens[sample] if isinstance(tokens, list) and sample < len(tokens) else None
        num_tokens, finish = _length(ids, end, parts["limit"])
        cells = {
            "benchmark": task or (_short(own) if isinstance(own, str) else None),
            "problem_id": parts["identifier"] or None,
            "problem": parts["problem"],
            PROBLEM_IS_PROMPT: True,
            "gold": parts["gold"],
            "response": need_text(place, "text", text, may_be_empty=True),
            "model": model,
            "template": "lighteval",
            "sample_index": sample,
            "n_tokens": num_tokens,
            "finish_reason": finish,
            "token_limit": parts["limit"],
            "prompt": parts["prompt"],
            "label": label,
        }
        rows.append(Row(place, cells))
    return rows


def _end_id(tokens: Iterable[Any]) -> int | None:
    """The id in which more than half of the texts end; a batch is filled up with it as well."""
    last = [ids[-1] for each in tokens if isinstance(each, list) for ids in each if ids]
    if not last:
        return None
    identifier, count = Counter(last).most_common(1)[0]
    return identifier if isinstance(identifier, int) and 2 * count > len(last) else None


def _length(ids: Any, end: int | None, limit: Any) -> tuple[int | None, str | None]:
    """How many tokens a text has without those that end and fill it, and how it ended."""
    if not isinstance(ids, list):
        return None, None
    length = len(ids)
    while length and ids[length - 1] == end:
        length -= 1
    if length < len(ids):
        return length, "stop"
    is_full = end is not None and isinstance(limit, int) and length >= limit
    return length, "length" if is_full else None


def _usual(scores: Mapping[str, Any]) -> str | None:
    """The metric that is the verdict where nobody names one."""
    return next((name for name in _PREFERRED if name in scores), next(iter(scores), None))


def _short(task: str) -> str:
    """`lighteval|aime24|0` and `aime24|0` are `aime24`."""
    parts = [part for part in task.split("|") if part and not part.isdecimal()]
    return parts[-1] if parts else task


def _details_place(path: Path) -> tuple[Path, list[str]] | None:
    """The output folder and the parts of the model's name, from `<out>/details/<model>/<time>/`."""
    folder = path.resolve().parent.parent
    parts = folder.parts
    if "details" not in parts:
        return None
    at = len(parts) - 1 - parts[::-1].index("details")
    return Path(*parts[:at]), list(parts[at + 1 :])


def _results(path: Path, time: str) -> dict[str, Any]:
    """The results file of the same run; empty where there is none."""
    found = _details_place(path)
    if found is None:
        return {}
    out, model = found
    beside = out.joinpath("results", *model, f"results_{time}.json")
    return read_object(beside) if beside.is_file() else {}


def _model(path: Path, general: Any) -> tuple[str | None, Mapping[str, Any]]:
    """The model's name and its settings: from the results, else the name from the folders."""
    config = general.get("model_config") if isinstance(general, Mapping) else None
    config = config if isinstance(config, Mapping) else {}
    name = config.get("model_name")
    if isinstance(name, str) and name:
        return name, config
    found = _details_place(path)
    return ("/".join(found[1]) or None) if found else None, config
