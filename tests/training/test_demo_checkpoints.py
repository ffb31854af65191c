"""The three checkpoints that `evalharness run` scores when nothing is named."""

import json

import pytest

from evalharness.paths import DEMO_MODELS, PACKAGE, model_location, shipped_checkpoints
from evalharness.training.rambling import WORDS

transformers = pytest.importorskip("transformers", reason="needs the extra [local]")


def test_they_ship_under_their_names_and_are_small() -> None:
    assert set(DEMO_MODELS) < set(shipped_checkpoints())
    for name in DEMO_MODELS:
        folder = PACKAGE / "checkpoints" / name
        assert model_location(name) == str(folder)
        assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
        assert (folder / "README.md").is_file()


def test_their_records_name_relative_folders_and_the_algorithm() -> None:
    records = {
        name: json.loads((PACKAGE / "checkpoints" / name / "training.json").read_text("utf-8"))
        for name in DEMO_MODELS
    }
    assert records["tiny-base"]["config"]["problems"] == "rambling"
    for name, normalisation in (("tiny-grpo", "response"), ("tiny-dr_grpo", "constant")):
        identity = records[name]["identity"]
        assert identity["algorithm"]["length_normalisation"] == normalisation
        assert identity["model"] == "runs/length-inflation/base"
        assert (identity["seed"], records[name]["step"]) == (0, 120)


@pytest.mark.parametrize("name", DEMO_MODELS)
def test_every_word_is_one_token(name: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_location(name))
    for word in WORDS:
        assert len(tokenizer(word)["input_ids"]) == 1
    text = "47 + 8 =\n55 so so \\boxed{55}"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
