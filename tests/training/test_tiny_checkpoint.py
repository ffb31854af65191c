"""The shipped checkpoint: whole, small, and as good as its card says."""

import json
from dataclasses import asdict, replace

import pytest

from evalharness.paths import tiny_checkpoint
from evalharness.training.batches import greedy_completions, is_solved, render, solved_share
from evalharness.training.practice import practice_problems
from evalharness.training.sft_config import SFTConfig

torch = pytest.importorskip("torch", reason="needs the extra [local]")
transformers = pytest.importorskip("transformers", reason="needs the extra [local]")


@pytest.fixture(scope="module")
def tokenizer() -> transformers.PreTrainedTokenizerBase:
    return transformers.AutoTokenizer.from_pretrained(tiny_checkpoint())


@pytest.fixture(scope="module")
def model() -> transformers.PreTrainedModel:
    return transformers.AutoModelForCausalLM.from_pretrained(tiny_checkpoint(), dtype="float32")


def test_it_ships_whole_and_below_four_megabytes() -> None:
    sizes = {path.name: path.stat().st_size for path in tiny_checkpoint().iterdir()}
    assert set(sizes) == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    }
    assert sum(sizes.values()) < 4_000_000


def test_it_has_room_for_the_longest_suite_problem_and_a_full_response(
    model: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerBase
) -> None:
    # OlympiadBench's longest problem has 4415 bytes; the paper's template r1 adds 535; 3000 follow.
    assert model.config.max_position_embeddings >= 4415 + 535 + 3000
    assert tokenizer.model_max_length == model.config.max_position_embeddings
    assert model.config.vocab_size >= len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id == 257


def test_tokenizer_survives_loading_and_keeps_text(
    tokenizer: transformers.PreTrainedTokenizerBase,
) -> None:
    text = "  Was ist ½ · 3?\t<|im_end|>\n🧮\x00 's ."
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_it_solves_the_easy_kinds_and_stops(
    model: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerBase
) -> None:
    # Measured with template `no`: 10 of 10 small sums, 10 of 10 sums, 9 of 10 products.
    problems = [row for row in practice_problems() if row.kind in ("small-sum", "sum", "product")]
    prompts = [render("{{problem}}", row.text) for row in problems]
    drawn = greedy_completions(model, tokenizer, prompts)
    assert not any(each.is_truncated for each in drawn)
    solved = [is_solved(each, row) for each, row in zip(drawn, problems, strict=True)]
    assert sum(solved) >= 27


def test_the_share_solved_does_not_depend_on_what_pads(
    model: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerBase
) -> None:
    problems = [row for row in practice_problems() if row.kind == "small-sum"][:3]
    padded_by_eos = transformers.AutoTokenizer.from_pretrained(tiny_checkpoint())
    padded_by_eos.pad_token = padded_by_eos.eos_token  # as the base models of Qwen2.5 have it
    shares = [
        solved_share(model, each, "{{problem}}", problems) for each in (tokenizer, padded_by_eos)
    ]
    assert shares == [1.0, 1.0]


def test_its_record_names_the_run() -> None:
    record = json.loads((tiny_checkpoint() / "training.json").read_text("utf-8"))
    assert (record["method"], record["config"]["seed"]) == ("sft", 0)
    # The defaults are the run that is on record; switches that came later are off.
    config = SFTConfig(output=tiny_checkpoint(), templates=record["config"]["templates"])
    settings = json.loads(json.dumps(asdict(replace(config, output=None))))
    assert {name: settings[name] for name in record["config"]} == record["config"]
