"""Log-probabilities of completions: every token, no padding, whatever the batch."""

import math

import pytest

from evalharness.errors import InputError
from evalharness.training.forward import (
    TokenRow,
    check_head,
    make_token_batch,
    micro_batches,
    score_tokens,
)
from evalharness.training.tokenizer import byte_tokenizer
from evalharness.training.toy import ToyModel, make_toy_model

torch = pytest.importorskip("torch", reason="needs the extra [local]")

MICRO = ToyModel(
    hidden_size=32, intermediate_size=64, num_layers=1, num_heads=1, num_kv_heads=1, head_size=32
)
ROWS = [
    TokenRow([5, 6], [7, 257]),
    TokenRow([8], [9, 10, 11, 257]),
    TokenRow([1, 2, 3, 4], [20]),
]


def _model(seed: int = 1):
    model = make_toy_model(MICRO, byte_tokenizer(max_length=512), seed=seed)
    with torch.no_grad():  # far from uniform, so that a wrong place shows
        for parameter in model.parameters():
            parameter.mul_(4)
    return model


def test_logprobs_are_those_of_each_row_alone() -> None:
    model = _model()
    scores = score_tokens(model, make_token_batch(ROWS))
    assert scores.logprobs_BT.shape == (3, 4)
    for row, found_T in zip(ROWS, scores.logprobs_BT, strict=True):
        ids = [*row.prompt_ids, *row.completion_ids]
        logprobs_LV = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        start = len(row.prompt_ids)
        expected = [logprobs_LV[start + t - 1, token] for t, token in enumerate(row.completion_ids)]
        torch.testing.assert_close(found_T[: len(expected)], torch.stack(expected))
        assert found_T[len(expected) :].tolist() == [0.0] * (4 - len(expected))


def test_temperature_divides_the_logits() -> None:
    model = _model()
    row = ROWS[0]
    cool = score_tokens(model, make_token_batch([row]), temperature=0.5)
    logits_V = model(torch.tensor([[5, 6]])).logits[0, -1]
    expected = (logits_V / 0.5).log_softmax(-1)[7]
    torch.testing.assert_close(cool.logprobs_BT[0, 0], expected)


def test_entropy_of_a_uniform_model_is_the_log_of_the_vocabulary() -> None:
    model = make_toy_model(MICRO, byte_tokenizer(max_length=512), seed=1)
    with torch.no_grad():
        model.lm_head.weight.zero_()
    scores = score_tokens(model, make_token_batch(ROWS))
    # 288 tokens with equal logits: ln 288; the padding of the first row counts 0.
    assert scores.entropy_BT[1].tolist() == pytest.approx([math.log(288)] * 4)
    assert scores.entropy_BT[0].tolist() == pytest.approx([math.log(288)] * 2 + [0, 0])
    assert not scores.entropy_BT.requires_grad


def test_micro_batches_hold_every_row_once_within_the_budget_longest_first() -> None:
    rows = [TokenRow([0] * length, [1]) for length in (9, 3, 4, 29, 9)]
    groups = micro_batches(rows, max_tokens=20)
    # Lengths with the completion: 10, 4, 5, 30, 10. 30 alone is over the budget; 2 x 10 fills it;
    # 5 and 4 cost 2 x 5.
    assert groups == [[3], [0, 4], [2, 1]]


def test_a_micro_batch_ends_where_a_quarter_of_the_next_row_would_be_padding() -> None:
    rows = [TokenRow([0] * (length - 1), [1]) for length in (8, 40, 30, 29, 40, 8)]
    # 2 x 40 is a quarter of the budget. 30 tokens in 40 are a quarter of padding, 29 are more; and
    # [29] alone has less than a quarter of the budget, so that 8 joins it.
    assert micro_batches(rows, max_tokens=320) == [[1, 4, 2], [3, 0, 5]]
    # 3 x 40 isn't a quarter of 500: all in one.
    assert micro_batches(rows, max_tokens=500) == [[1, 4, 2, 3], [0, 5]]
    assert micro_batches(rows, max_tokens=2000) == [[1, 4, 2, 3, 0, 5]]


def test_a_model_that_caps_its_logits_or_keeps_its_states_elsewhere_is_refused() -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel

    check_head(_model(), "toy")
    sizes = {"vocab_size": 288, "num_hidden_layers": 1, "num_attention_heads": 1}
    gemma = Gemma2ForCausalLM(
        Gemma2Config(
            **sizes, hidden_size=32, intermediate_size=64, num_key_value_heads=1, head_dim=32
        )
    ).eval()
    with torch.no_grad():  # logits near the cap of 30
        gemma.model.embed_tokens.weight.normal_()
    with pytest.raises(InputError, match="g: Gemma2ForCausalLM changes its logits after `lm_head`"):
        check_head(gemma, "g")
    gpt2 = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=1))
    with pytest.raises(InputError, match=r"GPT2LMHeadModel has no `model`.*--backend trl"):
        check_head(gpt2, "g")
