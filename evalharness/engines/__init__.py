"""The engines that turn prompts into responses; one module each, opened by `open_engine`.

A module of this package that has `create_engine(options) -> Engine` is an engine under its own
name; there is no registry. Modules import their heavy package only when a model is loaded.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable

from evalharness.definitions import suggestion
from evalharness.engines.base import Engine, EngineOptions
from evalharness.engines.parallel import ParallelEngine
from evalharness.engines.watch import WatchedEngine
from evalharness.errors import InputError, MissingExtraError

# The packages that an engine can't run without, and the extra that brings them.
_NEEDS = {
    "openai": (("aiohttp",), "openai"),
    "ray": (("ray",), "ray"),
    "transformers": (("torch", "transformers"), "local"),
    "vllm": (("vllm",), "vllm"),
}


def engine_names() -> tuple[str, ...]:
    """The engines that `open_engine` knows, beside `auto`."""
    names = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in names if _factory(name) is not None))


def open_engine(name: str, options: EngineOptions) -> Engine:
    """An engine with no model loaded; `auto` is vllm on a machine with a GPU, else transformers.

    With `options.engine_timeout` it runs in a process of its own that is watched; with
    `options.data_parallel_size` above 1 in so many.

    Raises:
        InputError: no engine has this name.
        MissingExtraError: the package that it runs on isn't installed.
    """
    if options.data_parallel_size > 1:
        return ParallelEngine(name, options)
    # The ray engine watches those in its actors.
    if options.engine_timeout is not None and name != "ray":
        return WatchedEngine(name, options)
    check_engine_name(name)
    if name == "auto":
        name = _automatic_name()
    require_engine(name)
    factory = _factory(name)
    if factory is None:
        raise InputError(f'the module of engine "{name}" has no create_engine function')
    return factory(options)


def check_engine_name(name: str) -> None:
    """Refuse a name that no engine has.

    Raises:
        InputError: it is neither `auto` nor one of `engine_names`.
    """
    modules = {module.name for module in pkgutil.iter_modules(__path__)}
    if name != "auto" and (name not in modules or _factory(name) is None):
        known = ("auto", *engine_names())
        hint = suggestion(name, known)
        raise InputError(f'unknown engine "{name}": choose one of {", ".join(known)}{hint}')


def require_engine(name: str) -> None:
    """Make sure that the packages of an engine are there.

    Raises:
        MissingExtraError: one isn't; the message names the extra that brings it.
    """
    packages, extra = _NEEDS.get(name, ((), ""))
    if any(importlib.util.find_spec(package) is None for package in packages):
        raise MissingExtraError(f"the {name} engine", extra)


def _factory(name: str) -> Callable[[EngineOptions], Engine] | None:
    module = importlib.import_module(f"{__name__}.{name}")
    factory: Callable[[EngineOptions], Engine] | None = getattr(module, "create_engine", None)
    return factory


def _automatic_name() -> str:
    # torch takes seconds to import: ask for a GPU only where vllm could use it.
    if importlib.util.find_spec("vllm") is None or importlib.util.find_spec("torch") is None:
        return "transformers"
    import torch

    return "vllm" if torch.cuda.is_available() else "transformers"
