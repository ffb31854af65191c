"""The ray engine: engines in the actors of a Ray cluster, checks as its tasks."""

from __future__ import annotations

from evalharness.engines.base import EngineOptions
from evalharness.engines.ray.engine import RayEngine


def create_engine(options: EngineOptions) -> RayEngine:
    """The engine, joined to its cluster.

    Raises:
        InputError: a flag that can't be.
        EngineError: no cluster answers.
    """
    return RayEngine(options)
