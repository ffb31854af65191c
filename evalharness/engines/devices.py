"""Which GPUs, or how many CPU threads, each engine process of this machine gets."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass

from evalharness.engines.base import EngineOptions
from evalharness.errors import InputError

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What there is to be shared out."""

    gpus: tuple[str, ...]
    """As CUDA_VISIBLE_DEVICES names them; empty where engines run on the CPU."""
    num_cpus: int
    """That this process may use."""
    most_threads: int | None = None
    """What the user allows a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one engine process gets."""

    gpus: tuple[str, ...]
    num_threads: int | None
    """None on a GPU, where nobody is to be kept from the cores."""

    def environment(self) -> dict[str, str]:
        """The variables that hold its process to this share."""
        if self.num_threads is not None:
            return {_THREADS: str(self.num_threads)}
        return {_VISIBLE: ",".join(self.gpus)}

    def __str__(self) -> str:
        if self.num_threads is not None:
            return f"{self.num_threads} CPU thread{'s' if self.num_threads > 1 else ''}"
        return f"GPU {','.join(self.gpus)}"


def share_machine(engine: str, options: EngineOptions, machine: Machine) -> tuple[Share, ...]:
    """One share for each of `options.data_parallel_size` processes, in the order of the GPUs.

    A vllm process gets `tensor_parallel_size` GPUs. On the CPU each gets its part of the cores.

    Raises:
        InputError: there aren't enough GPUs, or a flag names one of them.
    """
    count = options.data_parallel_size
    if options.device.startswith("cuda:"):
        raise InputError(
            f"--device {options.device} names one GPU, --data-parallel-size {count} takes several: "
            f"name them in {_VISIBLE} and leave --device out"
        )
    is_cpu = options.device == "cpu" or (options.device == "auto" and not machine.gpus)
    if is_cpu:
        threads = max(1, machine.num_cpus // count)
        if machine.most_threads is not None:
            threads = min(threads, machine.most_threads)
        return (Share(gpus=(), num_threads=threads),) * count
    width = 1 if engine == "transformers" else options.tensor_parallel_size
    if count * width > len(machine.gpus):
        times = f" times --tensor-parallel-size {width}" if width > 1 else ""
        seen = f"{len(machine.gpus)} ({','.join(machine.gpus)})" if machine.gpus else "none"
        raise InputError(
            f"--data-parallel-size {count}{times} needs {count * width} GPUs and this process sees "
            f"{seen}: ask for fewer, or let {_VISIBLE} name more"
        )
    return tuple(
        Share(gpus=machine.gpus[first : first + width], num_threads=None)
        for first in range(0, count * width, width)
    )


def look_at_machine() -> Machine:
    """What this process sees; asking torch starts nothing on a GPU."""
    num_gpus = 0
    if importlib.util.find_spec("torch") is not None:
        import torch

        num_gpus = torch.cuda.device_count()
    return machine_of(os.environ, num_gpus, _num_cpus())


def _num_cpus() -> int:
    # Only Linux knows which cores a process may use.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_of(environment: Mapping[str, str], num_gpus: int, num_cpus: int) -> Machine:
    """The machine as these variables leave it; `num_gpus` is what CUDA counts under them."""
    named = environment.get(_VISIBLE)
    if named is None:
        gpus = tuple(map(str, range(num_gpus)))
    else:
        gpus = tuple(name.strip() for name in named.split(","))[:num_gpus]
    threads = environment.get(_THREADS, "").strip()
    return Machine(
        gpus=gpus,
        num_cpus=num_cpus,
        most_threads=int(threads) if threads.isdecimal() and int(threads) > 0 else None,
    )
