"""Joining or starting a Ray cluster, quietly, and what an engine may take of it."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from evalharness.engines.base import EngineOptions
from evalharness.errors import EngineError, InputError
from evalharness.paths import PACKAGE

LOCAL_RAY = "a cluster of this machine alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """How many actors there are and what each gets."""

    count: int
    num_gpus: int
    num_cpus: float

    def __str__(self) -> str:
        each = f"{self.num_gpus} GPU" if self.num_gpus else f"{self.num_cpus:g} CPU"
        return f"{self.count} actor{'s' if self.count > 1 else ''} with {each} each"


def plan_workers(options: EngineOptions, num_gpus: int, num_cpus: int) -> Workers:
    """The actors for a cluster with these totals.

    A vllm actor has `tensor_parallel_size` GPUs. Without GPUs the cores are shared out evenly, and
    an actor may get less than one.

    Raises:
        InputError: not even one actor finds its GPUs.
    """
    count = options.ray_workers
    if options.device == "cpu" or (options.device == "auto" and num_gpus == 0):
        count = count or 1
        share = num_cpus / count
        return Workers(
            count=count, num_gpus=0, num_cpus=int(share) if share >= 1 else int(share * 100) / 100
        )
    width = 1 if options.ray_engine == "transformers" else options.tensor_parallel_size
    if width > num_gpus:
        raise InputError(
            f"an actor needs {width} GPUs and the whole Ray cluster has {num_gpus}: lower "
            "--tensor-parallel-size, give --device cpu, or add machines"
        )
    return Workers(count=count or num_gpus // width, num_gpus=width, num_cpus=1)


class Membership:
    """One user's hold on this process's connection to a cluster.

    The first one connects, or starts a cluster where no address is given; the last one to leave
    disconnects, and ends a cluster that was started. A connection that was there before stays. The
    package travels to the machines of a cluster that is joined, so that they run this version of
    it.
    """

    _num_members = 0

    def __init__(self, address: str | None) -> None:
        """Connect where nobody has.

        Raises:
            EngineError: no cluster answers there.
        """
        import ray

        self._is_member = False
        if Membership._num_members == 0 and ray.is_initialized():
            return
        if Membership._num_members == 0:
            _connect(address)
        Membership._num_members += 1
        self._is_member = True

    def leave(self) -> None:
        """Let go of it; calling it twice is allowed."""
        import ray

        if self._is_member:
            self._is_member = False
            Membership._num_members -= 1
            if Membership._num_members == 0:
                ray.shutdown()


def _connect(address: str | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's core writes to stderr from C++; it reads this when it starts.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # From this release on an actor without GPUs sees those of its machine, unless told.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    import ray

    _keep_quiet()
    arguments: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.CRITICAL,
        "configure_logging": False,
    }
    if address is None:
        inherited = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([str(PACKAGE.parent), *([inherited] if inherited else [])])
        arguments |= {
            # Whatever RAY_ADDRESS says: a cluster of others isn't joined by accident.
            "address": "local",
            "include_dashboard": False,
            "runtime_env": {"env_vars": {"PYTHONPATH": path}},
        }
    else:
        arguments |= {"address": address, "runtime_env": {"py_modules": [str(PACKAGE)]}}
    try:
        with _silent_stderr():
            ray.init(**arguments)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        where = LOCAL_RAY if address is None else address
        raise EngineError(
            f"no Ray at {where}: {first_line(error)}. Start one with `ray start --head`, or check "
            "--ray-address"
        ) from error


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Sends file descriptor 2 to nowhere: Ray's C++ greets there, and fails with an exception."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


@contextmanager
def without_warnings() -> Iterator[None]:
    """Ignores that Ray deprecates names for which the bounded versions have no others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def is_outside() -> bool:
    """Whether this process reaches the cluster through a proxy, as with `ray://`."""
    from ray.util.client import ray as client

    is_connected: Any = client.is_connected
    return bool(is_connected())


@contextmanager
def in_words(doing: str) -> Iterator[None]:
    """What Ray raises becomes an EngineError of one line.

    Raises:
        EngineError: that.
    """
    import ray.exceptions

    try:
        yield
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise EngineError(
            f"Ray failed while {doing}: {first_line(error)}. What came before is stored: run the "
            "same command again to go on"
        ) from error


def first_line(error: BaseException) -> str:
    """The kind of an error and its first line, without a remote stack trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}{f': {lines[0][:300]}' if lines else ''}"


def keep_data_quiet() -> None:
    """Leave Ray Data's messages to its log file; importing it sets its loggers up."""
    logger = logging.getLogger("ray.data")
    for handler in list(logger.handlers):
        if handler.name == "console":
            logger.removeHandler(handler)


def _keep_quiet() -> None:
    import ray._private.worker

    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # The death of a worker is printed on stdout, where our tables and JSON go; it has no switch.
    if hasattr(ray._private.worker, "print_to_stdstream"):
        ray._private.worker.print_to_stdstream = _print_nothing


def _print_nothing(*arguments: Any, **options: Any) -> None:  # noqa: ARG001 - Ray's signature
    return None
