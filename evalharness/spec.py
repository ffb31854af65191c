"""run.json: what a run is and what it was made with; written, compared, and added to."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from evalharness.engines.base import Engine, ModelRecord
from evalharness.errors import StoreError
from evalharness.plan import RunPlan, identity_changes
from evalharness.session import describe_session
from evalharness.store import FORMAT, SPEC, RunWriter, read_spec, run_id


def open_spec(plan: RunPlan, writer: RunWriter) -> dict[str, Any]:
    """Write run.json, or compare with the one that is there and add this session to it.

    A folder without a single response is no run yet: its first command may have been mistyped.

    Raises:
        StoreError: the folder holds another run.
    """
    session = describe_session(plan.command)
    session["engine_options"] = dataclasses.asdict(plan.options)
    if plan.options.replay_from is not None:
        session["engine_options"]["replay_from"] = str(plan.options.replay_from)
    if not (writer.folder / SPEC).exists() or not writer.has_responses():
        spec: dict[str, Any] = {
            "format": FORMAT,
            "run_id": run_id(plan.identity),
            "status": "unfinished",
            "identity": plan.identity,
            "models": {},
            "templates": {
                template.name: dataclasses.asdict(template) | {"sha256": template.sha256}
                for template in plan.templates
            },
            "benchmarks": {
                each.name: {
                    "title": each.title,
                    "fingerprint": each.fingerprint,
                    "num_problems": len(each.problems),
                    "num_published": each.num_published,
                    "source": each.source,
                    "policy": each.policies.general.to_table(),
                }
                for each in plan.benchmarks
            },
            "sessions": [],
        }
    else:
        spec = read_spec(writer.folder)
        _refuse_another_run(writer.folder, spec, plan.identity)
    spec["golds"] = plan.golds
    spec["sessions"].append(session)
    writer.write_json(SPEC, spec)
    return spec


def _refuse_another_run(folder: Path, spec: dict[str, Any], identity: dict[str, Any]) -> None:
    changes = identity_changes(spec["identity"], identity)
    if changes:
        raise StoreError(
            f"{folder} holds another run. What changed:\n"
            + "\n".join(changes)
            + "\nName another --out, or repeat the first command to go on with that run."
        )


def record_model(
    spec: dict[str, Any], model: str, engine: Engine, record: ModelRecord, writer: RunWriter
) -> None:
    """Keep what is known of the model; other weights or another engine make another run.

    Raises:
        StoreError: it isn't what it was.
    """
    now: dict[str, Any] = {"engine": engine.name} | dataclasses.asdict(record)
    known = spec["models"].get(model)
    changes = model_changes(known, now) if known else []
    if changes:
        raise StoreError(
            f"{writer.folder}: {model} is not what it was when this run began: "
            f"{'; '.join(changes)}. Name another --out"
        )
    spec["models"][model] = now
    writer.write_json(SPEC, spec)


def model_changes(known: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What makes a model of run.json another one."""
    return [
        f"{name} was {known[name]}, now {now[name]}"
        for name in ("revision", "engine", "dtype", "context_length")
        if known[name] != now[name]
    ]


def record_death(spec: dict[str, Any], death: str, writer: RunWriter) -> None:
    """Keep in the record of this session that an engine died."""
    spec["sessions"][-1].setdefault("engine_deaths", []).append(death)
    writer.write_json(SPEC, spec)
