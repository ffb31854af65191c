from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from evalharness.engines import engine_names, open_engine
from evalharness.engines.base import EngineOptions
from evalharness.errors import InputError, MissingExtraError


def test_every_module_with_a_factory_is_an_engine():
    assert {"replay", "transformers", "vllm"} <= set(engine_names())
    assert not {"base", "decoding", "checkpoints", "stops"} & set(engine_names())


def test_an_unknown_engine_is_refused_with_the_list():
    with pytest.raises(InputError, match=r'unknown engine "vlm".*auto, .*did you mean "vllm"'):
        open_engine("vlm", EngineOptions())


@pytest.mark.parametrize(("name", "extra"), [("vllm", "vllm"), ("transformers", "local")])
def test_a_missing_package_names_its_extra(monkeypatch, name, extra):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=rf"evalharness\[{extra}\]"):
        open_engine(name, EngineOptions())


def test_auto_without_vllm_is_transformers_and_imports_no_torch(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda package: None if package == "vllm" else find(package)
    )
    if find("transformers") is None:
        pytest.skip("the extra [local] isn't installed")
    assert open_engine("auto", EngineOptions()).name == "transformers"


def test_naming_the_engines_imports_no_heavy_package():
    code = (
        "import sys; from evalharness.engines import engine_names; engine_names();"
        "print([m for m in ('torch', 'transformers', 'vllm', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
