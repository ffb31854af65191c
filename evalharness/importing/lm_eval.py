"""The samples that lm-eval (lm-evaluation-harness) logs with `--log_samples`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evalharness.benchmarks.files import Row
from evalharness.benchmarks.golds import GOLD_RULES
from evalharness.errors import InputError
from evalharness.importing.cells import (
    json_lines,
    need_list,
    need_table,
    need_text,
    read_object,
    right_or_wrong,
    shown,
)
from evalharness.importing.columns import SourceFile, Wanted

KEYS = frozenset({"doc_id", "doc", "resps"})
_FILE = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl")
_PROBLEM = ("problem", "question", "Problem", "Question")
_OWN_KEYS = frozenset(
    "doc_id doc target arguments resps filtered_resps filter metrics doc_hash prompt_hash "
    "target_hash".split()
)
_PREFERRED = ("math_verify", "exact_match", "acc", "extractive_match")
"""Which metric is the verdict where a task has several."""


def read_lm_eval(path: Path, wanted: Wanted) -> SourceFile:
    """One row a generated text, with the task's own score.

    A task with several filters writes a line for each of them; they hold the same texts. Where a
    problem was sampled more than once lm-eval has one score for all of them, so none is taken.

    Raises:
        InputError: a line isn't of this form, or the task generates no text.
    """
    named = _FILE.fullmatch(path.name)
    task = named["task"] if named else path.stem
    results = _results(path, named["time"] if named else None)
    model = _model(results)
    task, config = _task(task, results)
    lines = _lines(path)
    own_name = _benchmark(results, config)
    benchmark = own_name or task
    chosen = _Choice(lines, wanted.score)
    rows: list[Row] = []
    for identifier, same in lines.items():
        place, line = chosen.line(same)
        rows += _rows(place, line, identifier, benchmark, model, chosen.metric)
    about: dict[str, Any] = {
        "harness": "lm-eval",
        "task": task,
        "score": chosen.described,
        **{key: results[key] for key in ("lm_eval_version", "git_hash", "date") if key in results},
        **{key: config[key] for key in ("num_fewshot", "generation_kwargs") if key in config},
    }
    return SourceFile(
        path=path,
        format="lm-eval",
        rows=rows,
        has_task_names=own_name is None,
        about=about,
        notes=chosen.notes(task),
    )


def _lines(path: Path) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Document id -> its lines with their places, one a filter."""
    lines: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    places: dict[tuple[str, str], str] = {}
    for place, line in json_lines(path):
        if not line.keys() >= KEYS:
            missing = ", ".join(sorted(KEYS - line.keys()))
            raise InputError(f"{place}: not a sample of lm-eval: it has no {missing}")
        document = str(line["doc_id"])
        first = places.setdefault((document, _filter(line)), place)
        if first != place:
            raise InputError(
                f"{place}: doc_id {document} stands at {first} already, with the same filter: two "
                "runs in one file have to be two files"
            )
        lines.setdefault(document, []).append((place, line))
    return lines


def _filter(line: Mapping[str, Any]) -> str:
    return str(line.get("filter", "none"))


class _Choice:
    """Which filter's line and which metric hold the source's verdict."""

    def __init__(
        self, lines: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]], score: str | None
    ) -> None:
        every = [each for same in lines.values() for each in same]
        self.filters = list(dict.fromkeys(_filter(line) for _, line in every))
        self.metrics = list(dict.fromkeys(name for _, line in every for name in _metrics(line)))
        metric, _, chosen = (score or "").partition(":")
        place = every[0][0] if every else ""
        if metric and metric not in self.metrics:
            raise InputError(
                f"{place}: --score {score}: no metric {metric}; there are {', '.join(self.metrics)}"
            )
        if chosen and chosen not in self.filters:
            raise InputError(
                f"{place}: --score {score}: no filter {chosen}; there are {', '.join(self.filters)}"
            )
        preferred = [name for name in _PREFERRED if name in self.metrics]
        self.metric = metric or next(iter(preferred or self.metrics), None)
        self.filter = chosen or next(iter(self.filters), "none")

    @property
    def described(self) -> str | None:
        """`exact_match:strict-match`; None where the task has no metric."""
        return f"{self.metric}:{self.filter}" if self.metric else None

    def line(self, same: Sequence[tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
        """Of the lines of one problem that of the filter; the first where it has none."""
        return next((each for each in same if _filter(each[1]) == self.filter), same[0])

    def notes(self, task: str) -> tuple[str, ...]:
        """What was chosen, where there was a choice."""
        if len(self.filters) < 2 and len(self.metrics) < 2:
            return ()
        others = [
            f"{metric}:{name}"
            for metric in self.metrics
            for name in self.filters
            if (metric, name) != (self.metric, self.filter)
        ]
        return (
            f"{task}: of its scores {self.described} is taken as the source's verdict, not "
            f"{', '.join(others)}: --score names another",
        )


def _metrics(line: Mapping[str, Any]) -> list[str]:
    named = line.get("metrics")
    if isinstance(named, list) and named:
        return [name for name in named if isinstance(name, str)]
    return [
        name
        for name, value in line.items()
        if name not in _OWN_KEYS and isinstance(value, int | float)
    ]


def _rows(
    place: str,
    line: Mapping[str, Any],
    identifier: str,
    benchmark: str,
    model: str | None,
    metric: str | None,
) -> list[Row]:
    doc = need_table(place, "doc", line["doc"])
    prompt, settings = _argument(place, line.get("arguments"))
    resps = need_list(place, "resps", line["resps"])
    texts = [text for group in resps for text in need_list(place, "resps", group)]
    if settings is None or not all(isinstance(text, str) for text in texts):
        raise InputError(
            f"{place}: the task compares the likelihoods of given answers, it generates no text: "
            "there is nothing to check"
        )
    score = line.get(metric) if metric and len(texts) == 1 else None
    if isinstance(score, list) and len(score) == 1:
        score = score[0]
    limit = settings.get("max_gen_toks", settings.get("max_new_tokens"))
    problem = next((doc[key] for key in _PROBLEM if isinstance(doc.get(key), str)), prompt)
    cells = {
        "benchmark": benchmark,
        "problem_id": identifier,
        "problem": problem,
        "gold": _gold(place, line.get("target"), doc),
        "model": model,
        "template": "lm-eval",
        "prompt": prompt,
        "token_limit": limit,
        "label": None if metric is None else right_or_wrong(place, metric, score),
    }
    each_sample = _ours(place, line, doc, len(texts))
    return [
        Row(place, cells | {"response": need_text(place, "resps", text, may_be_empty=True)} | more)
        for text, more in zip(texts, each_sample, strict=True)
    ]


def _ours(
    place: str, line: Mapping[str, Any], doc: Mapping[str, Any], count: int
) -> list[dict[str, Any]]:
    """What `evalharness export` wrote beside lm-eval's own keys, one table a sample."""
    table = line.get("evalharness")
    if not isinstance(table, Mapping):
        return [{"sample_index": number} for number in range(count)]
    lists = {
        name: need_list(place, name, table.get(name))
        for name in ("sample_index", "num_tokens", "finish_reason", "status")
    }
    if any(len(values) != count for values in lists.values()):
        raise InputError(f'{place}: the lists under "evalharness" must have {count} values each')
    known = {"template": table.get("template"), "problem_id": doc.get("problem_id")}
    if isinstance(doc.get("golds"), list):
        known["gold"] = doc["golds"]
    return [
        known
        | {
            "sample_index": lists["sample_index"][at],
            "n_tokens": lists["num_tokens"][at],
            "finish_reason": lists["finish_reason"][at],
            "label": None if status is None else status == "correct",
        }
        for at, status in enumerate(lists["status"])
    ]


def _argument(place: str, arguments: Any) -> tuple[str | None, Mapping[str, Any] | None]:
    """The prompt and the settings of the first request; no settings where it asks likelihoods."""
    first: Sequence[Any] | None = None
    if isinstance(arguments, Mapping) and arguments:
        table = need_table(place, "arguments", next(iter(arguments.values())))
        first = list(table.values())
    elif isinstance(arguments, list) and arguments:
        first = need_list(place, "arguments", arguments[0])
    if not first:
        return None, {}
    prompt = first[0] if isinstance(first[0], str) else None
    settings = first[1] if len(first) > 1 else {}
    return prompt, settings if isinstance(settings, Mapping) else None


def _gold(place: str, target: Any, doc: Mapping[str, Any]) -> Any:
    """The target; of a worked solution in GSM8K's form its last line."""
    gold = doc.get("answer") if target is None else target
    if isinstance(gold, str) and "####" in gold:
        try:
            return list(GOLD_RULES["gsm8k"](gold))
        except ValueError as error:
            raise InputError(f"{place}: target: {error}: {shown(gold)}") from error
    return gold


def _results(path: Path, time: str | None) -> dict[str, Any]:
    """The results file of the same time beside the samples; empty where there is none."""
    if time is None:
        return {}
    beside = path.with_name(f"results_{time}.json")
    return read_object(beside) if beside.is_file() else {}


def _task(named: str, results: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The task as the results call it, and its configuration; a file's name has no hyphens."""
    configs = results.get("configs")
    for task, config in configs.items() if isinstance(configs, Mapping) else ():
        if named in (task, re.sub(r"\W", "_", task)) and isinstance(config, Mapping):
            return task, config
    return named, {}


def _benchmark(results: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    """The benchmark that `evalharness export` made a task of."""
    about = config.get("metadata")
    if results.get("model_source") != "evalharness" or not isinstance(about, Mapping):
        return None
    name = about.get("benchmark")
    return name if isinstance(name, str) and name else None


def _model(results: Mapping[str, Any]) -> str | None:
    name = results.get("model_name")
    return name if isinstance(name, str) and name else None
