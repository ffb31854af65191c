"""Where the numbers of a run come from, as names and lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalharness.report.gather import RunSource


def run_facts(run: RunSource) -> list[tuple[str, list[str]]]:
    """What a reader needs to make the run again, in order."""
    spec = run.spec
    facts = [
        ("run", [f"{spec['run_id']} ({spec['status']})"]),
        ("checker", [f"{run.verdicts}, {'corrected' if run.is_corrected else 'published'} golds"]),
        ("models", [_model(name, each) for name, each in spec["models"].items()]),
        ("templates", [_template(name, each) for name, each in spec["templates"].items()]),
        ("benchmarks", [_benchmark(name, each) for name, each in spec["benchmarks"].items()]),
    ]
    identity = spec.get("identity", {})
    if "sampling" in identity:
        facts.append(("sampling", [_pairs(identity["sampling"])]))
    if "imported" in identity:
        facts.append(
            (
                "imported files",
                [
                    f"{name} (sha256 {_short(sha256)})"
                    for name, sha256 in identity["imported"].items()
                ],
            )
        )
    for session in spec.get("sessions", []):
        facts.append(("command", [session["command"]]))
        facts.append(("made", [session["started"]]))
        facts.append(("versions", [_pairs(session["versions"])]))
        facts.append(("hardware", [_pairs(session["hardware"])]))
    return facts


def _model(name: str, record: Mapping[str, Any]) -> str:
    return _entry(name, {key: value for key, value in record.items() if key != "model"})


def _template(name: str, record: Mapping[str, Any]) -> str:
    known = {"answer format": record.get("answer_format"), "sha256": record.get("sha256")}
    return _entry(name, known)


def _benchmark(name: str, record: Mapping[str, Any]) -> str:
    known = {
        "problems": record.get("num_problems"),
        "source": record.get("source"),
        "fingerprint": record.get("fingerprint"),
    }
    return _entry(name, known)


def _entry(name: str, about: Mapping[str, Any]) -> str:
    text = _pairs(about)
    return f"{name}: {text}" if text else name


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {_value(value)}" for key, value in values.items() if value not in (None, "", [], {})
    )


def _value(value: Any) -> str:
    if isinstance(value, str):
        is_digest = len(value) == 64 and all(letter in "0123456789abcdef" for letter in value)
        return _short(value) if is_digest else value
    if isinstance(value, list | tuple):
        return "/".join(map(str, value))
    if isinstance(value, Mapping):
        return f"({_pairs(value)})"
    return str(value)


def _short(sha256: str) -> str:
    return sha256[:16]
