"""A model small enough to train on a laptop and to ship with the harness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyModel:
    """The size of a Qwen3 model; the defaults have 0.9 million parameters, 3.6 MB in float32.

    Qwen3, because its normalised queries and keys train at a high learning rate, and because both
    engines load a custom tokenizer beside it. A head size below 32 has no CPU kernel in vLLM.
    """

    hidden_size: int = 128
    intermediate_size: int = 320
    num_layers: int = 5
    num_heads: int = 4
    num_kv_heads: int = 2
    head_size: int = 32
    vocabulary_size: int = 288
    """259 are used by bytes and ChatML marks; the rest is room for words added later."""
    context_length: int = 16384
    """A suite problem has up to 4415 bytes, so tokens; a template and 3000 of response follow."""
    rope_theta: float = 10000.0


def make_toy_model(
    toy: ToyModel, tokenizer: PreTrainedTokenizerBase, *, seed: int
) -> PreTrainedModel:
    """A freshly initialised float32 model; the seed decides every weight."""
    import torch
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=toy.vocabulary_size,
        hidden_size=toy.hidden_size,
        intermediate_size=toy.intermediate_size,
        num_hidden_layers=toy.num_layers,
        num_attention_heads=toy.num_heads,
        num_key_value_heads=toy.num_kv_heads,
        head_dim=toy.head_size,
        max_position_embeddings=toy.context_length,
        rope_parameters={"rope_type": "default", "rope_theta": toy.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)  # type: ignore[no-untyped-call]
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return model
