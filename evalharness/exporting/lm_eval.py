"""Results and samples as lm-eval (lm-evaluation-harness) writes them with `--log_samples`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from evalharness import __version__
from evalharness.exporting.gathering import ExportedRun, Part
from evalharness.exporting.places import Target, safe_names
from evalharness.records import Response

_INVALID = "[invalid]"
"""What lm-eval's own filters write where they find no answer."""
_METRIC = "exact_match"
_MEANS = ("tokens_mean", "truncated", "no_answer")
"""Metrics of ours that go along, with their names."""


class _Task(NamedTuple):
    """What the summary says of one samples file."""

    part: Part
    num_problems: int
    num_samples: int
    settings: Mapping[str, Any]


def export_lm_eval(run: ExportedRun, target: Target) -> list[str]:
    """A folder a model, with `results_<time>.json` and `samples_<task>_<time>.jsonl`.

    A task is a benchmark; of a run with several templates, a benchmark under a template.

    Source: the files that lm-eval 0.4.13 writes; field by field in docs/exchange.md.
    """
    time = datetime.fromisoformat(run.started)
    stamp = time.isoformat(timespec="microseconds").partition("+")[0].replace(":", "-")
    folders = safe_names(part.model for part in run.parts)
    tasks = _task_names(run)
    # lm-eval's own rule for the names of its files, before ours.
    plain = {task: re.sub(r"\W", "_", task) for task in tasks.values()}
    files = safe_names(plain.values())
    written: dict[Part, _Task] = {}
    for part, responses in run.by_part():
        lines = _samples(run, responses)
        text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
        name = f"samples_{files[plain[tasks[part[1:]]]]}_{stamp}.jsonl"
        target.write(_storable(text), folders[part.model], name)
        num_samples = max(each.sample_index for each in responses) + 1
        written[part] = _Task(part, len(lines), num_samples, _settings(run, responses[0]))
    for model in folders:
        named = {tasks[part[1:]]: written[part] for part in run.parts if part.model == model}
        results = _results(run, model, folders[model], named, time.timestamp())
        text = json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False)
        target.write(_storable(text), folders[model], f"results_{stamp}.json")
    return [
        "lm-eval has one score a problem: with several samples it is their mean; which sample was "
        "right, its length and how it ended stand under the key evalharness, which lm-eval doesn't "
        "read",
        f"verdicts are those of {run.checker}; intervals, lengths by verdict and reasons stay in "
        "the run",
    ]


def _task_names(run: ExportedRun) -> dict[tuple[str, str], str]:
    pairs = dict.fromkeys((part.template, part.benchmark) for part in run.parts)
    several = len({template for template, _ in pairs}) > 1
    return {
        (template, benchmark): f"{benchmark}_{template}" if several else benchmark
        for template, benchmark in pairs
    }


def _samples(run: ExportedRun, responses: list[Response]) -> list[dict[str, Any]]:
    """One line a problem with all its samples."""
    by_problem: dict[str, list[Response]] = {}
    for each in responses:
        by_problem.setdefault(each.problem_id, []).append(each)
    lines = []
    for number, (problem_id, samples) in enumerate(by_problem.items()):
        problem = run.problems[problem_id]
        golds = run.golds_of(samples[0])
        doc = {"problem": problem.text, "golds": list(golds), "problem_id": problem_id}
        gold = golds[0] if golds else ""
        prompt = run.prompt(samples[0]) or problem.text
        found = [run.verdicts.get(each.key) for each in samples]
        judged = [verdict.status == "correct" for verdict in found if verdict]
        lines.append(
            {
                "doc_id": number,
                "doc": doc,
                "target": gold,
                "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": _settings(run, samples[0])}},
                "resps": [[each.response for each in samples]],
                "filtered_resps": [
                    (verdict.extracted if verdict else None) or _INVALID for verdict in found
                ],
                "filter": "none",
                "metrics": [_METRIC],
                "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
                "prompt_hash": _hash(prompt),
                "target_hash": _hash(gold),
                **({_METRIC: sum(judged) / len(judged)} if judged else {}),
                "evalharness": {
                    "template": samples[0].template,
                    "sample_index": [each.sample_index for each in samples],
                    "num_tokens": [each.num_tokens for each in samples],
                    "finish_reason": [each.finish_reason for each in samples],
                    "status": [verdict.status if verdict else None for verdict in found],
                },
            }
        )
    return lines


def _settings(run: ExportedRun, response: Response) -> dict[str, Any]:
    """How the text was drawn, by lm-eval's names; what the run doesn't know is left out."""
    sampling = run.sampling
    settings: dict[str, Any] = {
        "until": list(run.spec["templates"][response.template].get("stop") or ())
    }
    if "temperature" in sampling:
        settings["do_sample"] = sampling["temperature"] > 0
        settings["temperature"] = sampling["temperature"]
    if "top_p" in sampling:
        settings["top_p"] = sampling["top_p"]
    if response.token_limit is not None:
        settings["max_gen_toks"] = response.token_limit
    return settings


def _results(
    run: ExportedRun,
    model: str,
    folder: str,
    tasks: dict[str, _Task],
    date: float,
) -> dict[str, Any]:
    """The summary file."""
    results: dict[str, dict[str, Any]] = {}
    configs: dict[str, dict[str, Any]] = {}
    sizes: dict[str, dict[str, int]] = {}
    for task, (part, num_problems, num_samples, settings) in tasks.items():
        about = run.spec["benchmarks"].get(part.benchmark, {})
        results[task] = {"name": task, "alias": task, "sample_len": num_problems}
        results[task] |= _scores(_METRIC, run.metric(part, "accuracy"))
        for name in _MEANS:
            results[task] |= _scores(name, run.metric(part, name))
        configs[task] = {
            "task": task,
            "dataset_path": about.get("source"),
            "output_type": "generate_until",
            "generation_kwargs": settings,
            "repeats": num_samples,
            "num_fewshot": 0,
            "metadata": {
                "version": 0,
                "benchmark": part.benchmark,
                "template": part.template,
                "fingerprint": about.get("fingerprint"),
                "checker": run.checker,
                "golds": run.golds,
            },
        }
        published = about.get("num_published") or about.get("num_problems") or num_problems
        sizes[task] = {"original": published, "effective": num_problems}
    return {
        "results": results,
        "group_subtasks": {},
        "configs": configs,
        "versions": dict.fromkeys(tasks, 0),
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": {
            task: {_METRIC: True} | {name: False for name in _MEANS if f"{name},none" in row}
            for task, row in results.items()
        },
        "n-samples": sizes,
        "config": {
            "model": "evalharness",
            "model_args": f"pretrained={model}",
            "limit": None,
            "gen_kwargs": run.sampling,
            **({"random_seed": run.sampling["seed"]} if "seed" in run.sampling else {}),
        },
        "date": date,
        "evalharness_version": __version__,
        "model_source": "evalharness",
        "model_name": model,
        "model_name_sanitized": folder,
        "chat_template": None,
    }


def _scores(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A metric with its error by lm-eval's names; nothing where it has no value."""
    if row.get("value") is None:
        return {}
    error = row.get("stderr")
    return {f"{name},none": row["value"], f"{name}_stderr,none": "N/A" if error is None else error}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
