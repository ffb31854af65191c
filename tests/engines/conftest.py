from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

EOS, BOS, PAD = "<|end|>", "<|begin|>", "<|pad|>"
CHAT = (
    "{{ bos_token or '' }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "assistant:"
)


class Checkpoints(NamedTuple):
    """Micro checkpoints with random weights, in folders."""

    llama: str
    other_weights: str
    qwen3: str
    with_bos: str


def _save_tokenizer(folder: Path, *, adds_bos: bool) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    # Byte-level, no merges: one token a byte.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens([PAD, BOS, EOS])
    if adds_bos:
        raw.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, raw.token_to_id(BOS))]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token=BOS, eos_token=EOS, pad_token=PAD
    )
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    return int(raw.token_to_id(EOS))


def _save(folder: Path, kind: str, seed: int, *, adds_bos: bool = False) -> str:
    import torch
    from tokenizers import pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    eos = _save_tokenizer(folder, adds_bos=adds_bos)
    shape = {
        "vocab_size": 259,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": eos - 1,
        "eos_token_id": eos,
        "pad_token_id": eos - 2,
        "initializer_range": 0.2,
    }
    torch.manual_seed(seed)
    if kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=False))
    else:
        model = Qwen3ForCausalLM(
            Qwen3Config(**shape, head_dim=32, layer_types=["full_attention"] * 2)
        )
    # Bytes that are no printable ASCII get a logit of 0, so that texts are readable and whole.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    with torch.no_grad():
        for token, char in enumerate(alphabet):
            if not "!" <= char <= "~":
                model.lm_head.weight[token] = 0
    model.generation_config.temperature = 0.3
    model.generation_config.top_k = 5
    model.generation_config.do_sample = True
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkpoints]:
    pytest.importorskip("torch", reason="the extra [local] isn't installed")
    pytest.importorskip("transformers", reason="the extra [local] isn't installed")
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("checkpoints")
    yield Checkpoints(
        llama=_save(root / "llama", "llama", 1),
        other_weights=_save(root / "other", "llama", 2),
        qwen3=_save(root / "qwen3", "qwen3", 3),
        with_bos=_save(root / "bos", "llama", 1, adds_bos=True),
    )
    torch.set_num_threads(threads)
