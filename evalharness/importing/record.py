"""What an import writes down about itself."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.benchmarks import Benchmark
from evalharness.benchmarks.files import sha256_of
from evalharness.checking import DEFAULT_ANSWER_FORMAT
from evalharness.importing.collecting import Collected
from evalharness.importing.columns import SourceFile, Wanted
from evalharness.records import GoldChoice
from evalharness.session import describe_session
from evalharness.store import FORMAT, run_id
from evalharness.templates import load_template, template_names


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportCommand:
    """What the user asked for."""

    command: str
    wanted: Wanted
    tokenizer: str | None


def run_record(
    files: Sequence[SourceFile],
    collected: Collected,
    known: Mapping[str, Benchmark],
    golds: GoldChoice,
    made_by: ImportCommand,
) -> dict[str, Any]:
    """What run.json says of an import."""
    keys = collected.responses.keys()
    # The same file under another name of its model is another run.
    options = {
        "map": dict(made_by.wanted.columns),
        "set": dict(made_by.wanted.constants),
        "tokenizer": made_by.tokenizer,
    }
    identity: dict[str, Any] = {"imported": _hashes([each.path for each in files])}
    identity |= {name: value for name, value in options.items() if value}
    templates: dict[str, Any] = {}
    for name in dict.fromkeys(key.template for key in keys):
        if name in template_names():
            template = load_template(name)
            templates[name] = dataclasses.asdict(template) | {"sha256": template.sha256}
        else:
            templates[name] = {"answer_format": DEFAULT_ANSWER_FORMAT}
    benchmarks: dict[str, Any] = {}
    for problem in collected.problems.values():
        entry = benchmarks.setdefault(
            problem.benchmark,
            {
                "title": problem.benchmark,
                "fingerprint": None,
                "num_problems": 0,
                "source": "the imported files",
            },
        )
        entry["num_problems"] += 1
    strangers = _num_strangers(collected, known)
    for name in collected.num_matched:
        benchmarks[name] |= {
            "title": known[name].title,
            "source": known[name].source,
            "policy": known[name].policies.general.to_table(),
        }
        if name not in strangers:
            benchmarks[name] |= {
                "fingerprint": known[name].fingerprint,
                "num_published": known[name].num_published,
            }
    return {
        "format": FORMAT,
        "run_id": run_id(identity),
        "status": "complete",
        "identity": identity,
        "models": {name: {"engine": "import"} for name in dict.fromkeys(key.model for key in keys)},
        "templates": templates,
        "benchmarks": benchmarks,
        "golds": golds,
        "sources": [
            {"file": each.path.name, "format": each.format, **_storable(each.about)}
            for each in files
        ],
        "sessions": [describe_session(made_by.command)],
    }


def _hashes(paths: Sequence[Path]) -> dict[str, str]:
    """Name -> sha256; the whole path where two files have one name."""
    counts = Counter(path.name for path in paths)
    return {
        path.name if counts[path.name] == 1 else path.as_posix(): sha256_of(path) for path in paths
    }


def _storable(about: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can hold; the rest of a foreign file's settings as text."""
    return dict(json.loads(json.dumps(about, default=str)))


def _num_strangers(collected: Collected, known: Mapping[str, Benchmark]) -> dict[str, int]:
    """Known benchmark -> its responses to problems that it doesn't have; none of those without."""
    counts = Counter(response.benchmark for response in collected.responses.values())
    counts.subtract(collected.num_matched)
    return {name: counts[name] for name in sorted(known) if counts[name] > 0}


def import_notes(collected: Collected, known: Mapping[str, Benchmark]) -> tuple[str, ...]:
    """How many rows were matched to what, and what a reader must know."""
    total = len(collected.responses)
    matched = sum(collected.num_matched.values())
    notes = [f"{total} responses; {matched} of them to problems of known benchmarks"]
    notes += dict.fromkeys(collected.notes)
    for name, number in _num_strangers(collected, known).items():
        notes.append(
            f"{name}: {number} rows match none of its problems and count by golds of their own, "
            f"as problems of {name}: if they are none, --set benchmark= gives them another name"
        )
    for name, number in sorted(collected.num_other_gold.items()):
        notes.append(
            f"{name}: {number} of {collected.num_matched[name]} rows bring a gold that is spelled "
            "otherwise than the benchmark's; the benchmark's counts"
        )
    if any(response.num_tokens is None for response in collected.responses.values()):
        notes.append("some rows have no n_tokens: name --tokenizer to count them")
    return tuple(notes)
