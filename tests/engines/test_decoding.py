from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

pytest.importorskip("torch", reason="the extra [local] isn't installed")
pytest.importorskip("transformers", reason="the extra [local] isn't installed")

import torch
from scipy.stats import chisquare

from evalharness.engines.checkpoints import find_checkpoint, load_tokenizer
from evalharness.engines.decoding import Row, decode, sample_tokens, sampling_probabilities
from evalharness.engines.stops import StopWatch, cut_at_stop, first_stop, response_text
from evalharness.engines.transformers import load_model
from evalharness.records import Sampling

LOGITS = [2.0, 1.0, 0.5, 0.0, -1.0, -3.0, 1.5, 0.25]


class FixedModel:
    """Says LOGITS whatever it is asked."""

    device = torch.device("cpu")
    config = None

    def __call__(self, *, input_ids, past_key_values, **_):
        past_key_values.update(
            torch.zeros(len(input_ids), 1, input_ids.shape[1], 1),
            torch.zeros(len(input_ids), 1, input_ids.shape[1], 1),
            0,
        )
        return SimpleNamespace(logits=torch.tensor(LOGITS).expand(len(input_ids), 1, -1))


def expected_probabilities(temperature: float, top_p: float, top_k: int) -> list[float]:
    """Temperature, then top_k, then top_p, with Python's own arithmetic."""
    weights = [math.exp(logit / temperature) for logit in LOGITS]
    order = sorted(range(len(weights)), key=lambda token: -weights[token])
    order = order[:top_k] if top_k else order
    total, kept, mass = sum(weights[token] for token in order), [], 0.0
    for token in order:
        if mass >= top_p:
            break
        kept.append(token)
        mass += weights[token] / total
    total = sum(weights[token] for token in kept)
    return [weights[token] / total if token in kept else 0.0 for token in range(len(weights))]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.0),
        Sampling(temperature=0.6),
        Sampling(temperature=1.3, top_k=4),
        Sampling(temperature=1.0, top_p=0.7),
        Sampling(temperature=0.8, top_p=0.9, top_k=5),
    ],
)
def test_tokens_follow_the_distribution_over_2000_seeds(sampling):
    rows = [Row(index=i, prompt_ids=(1,), seed=i, max_tokens=1) for i in range(2000)]
    drawn = [
        done.token_ids[0]
        for done in decode(FixedModel(), rows, sampling, end_ids=frozenset(), batch_size=500)
    ]
    expected = expected_probabilities(sampling.temperature, sampling.top_p, sampling.top_k)
    support = [token for token, share in enumerate(expected) if share > 0]
    assert set(drawn) <= set(support)
    counts = [drawn.count(token) for token in support]
    # The seeds are fixed, so this decides the same way every time.
    assert chisquare(counts, [2000 * expected[token] for token in support]).pvalue > 0.01


def test_successive_tokens_of_one_row_follow_the_distribution_too():
    sampling = Sampling(temperature=1.0)
    [done] = decode(
        FixedModel(),
        [Row(index=0, prompt_ids=(1,), seed=3, max_tokens=2000)],
        sampling,
        end_ids=frozenset(),
        batch_size=1,
    )
    expected = [2000 * share for share in expected_probabilities(1.0, 1.0, 0)]
    counts = [done.token_ids.count(token) for token in range(len(LOGITS))]
    assert chisquare(counts, expected).pvalue > 0.01


@pytest.mark.parametrize(("top_p", "top_k"), [(1.0, 0), (0.7, 0), (1.0, 3), (0.9, 5), (0.01, 0)])
def test_probabilities_equal_those_worked_out_in_python(top_p, top_k):
    sampling = Sampling(temperature=0.7, top_p=top_p, top_k=top_k)
    [probabilities] = sampling_probabilities(torch.tensor([LOGITS]), sampling).tolist()
    assert probabilities == pytest.approx(expected_probabilities(0.7, top_p, top_k), abs=1e-6)


def test_a_number_picks_the_token_whose_share_it_falls_in():
    # Shares 0.25, 0, 0.5, 0.25, 0: boundaries at 0.25 and 0.75; a token without share never comes.
    shares = torch.tensor([[0.25, 0.0, 0.5, 0.25, 0.0]]).expand(6, -1)
    numbers = [0.0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2**-53]
    uniforms = torch.tensor(numbers, dtype=torch.float64)
    assert sample_tokens(shares, uniforms).tolist() == [0, 0, 2, 2, 3, 3]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_a_gpu_draws_the_same_tokens_where_only_what_repeats_is_allowed():
    probabilities = torch.softmax(torch.linspace(-4, 4, 1000, device="cuda").repeat(8, 1), dim=-1)
    numbers = torch.linspace(0, 0.999, 8, dtype=torch.float64, device="cuda")
    torch.use_deterministic_algorithms(True)
    try:
        drawn = sample_tokens(probabilities, numbers).tolist()
    finally:
        torch.use_deterministic_algorithms(False)
    assert drawn == sample_tokens(probabilities.cpu(), numbers.cpu()).tolist()


def test_the_stop_string_that_completes_first_ends_the_text():
    # "c" ends at 3, "bcd" at 4, although "bcd" begins earlier and is listed first.
    assert first_stop("abcd", ("bcd", "c")).string == "c"
    assert cut_at_stop("abcd", ("bcd", "c"), keep_stop=False) == ("ab", "c")
    assert cut_at_stop("abcd", ("bcd", "c"), keep_stop=True) == ("abc", "c")
    # Both end at 4: the first listed.
    assert cut_at_stop("abcd", ("cd", "bcd"), keep_stop=False) == ("ab", "cd")
    assert cut_at_stop("abcd", ("x",), keep_stop=False) == ("abcd", None)


@pytest.mark.parametrize(
    ("text", "num_cut", "kept"),
    [("a é", 1, "a "), ("a 中", 2, "a "), ("a 中", 0, "a 中"), ("é", 1, "")],
)
def test_half_a_character_at_the_end_of_a_response_is_no_text(checkpoints, text, num_cut, kept):
    tokenizer = load_tokenizer(find_checkpoint(checkpoints.llama), trust_remote_code=False)
    # One token a byte.
    token_ids = tokenizer(text)["input_ids"]
    assert response_text(tokenizer, token_ids[: len(token_ids) - num_cut]) == kept


@pytest.mark.vllm
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_cut", [0, 1, 2])
def test_vllm_keeps_half_a_character_back_too(checkpoints, num_cut):
    pytest.importorskip("vllm", reason="vllm isn't installed")
    from vllm import SamplingParams
    from vllm.v1.engine.detokenizer import FastIncrementalDetokenizer

    tokenizer = load_tokenizer(find_checkpoint(checkpoints.llama), trust_remote_code=False)
    token_ids = tokenizer("so 中")["input_ids"]
    asked = SimpleNamespace(
        sampling_params=SamplingParams(),
        prompt_token_ids=tokenizer("hi: ")["input_ids"],
        request_id="0",
    )
    theirs = FastIncrementalDetokenizer(tokenizer, asked)
    given = token_ids[: len(token_ids) - num_cut]
    for token in given:
        theirs.update([token], False)
    assert theirs.get_next_output_text(True, False) == response_text(tokenizer, given)


def test_a_stop_string_is_seen_the_moment_it_is_complete(checkpoints):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoints.llama)
    # The é and the 題 come as two and three byte tokens; the stop string holds one of them.
    token_ids = tokenizer("x" * 50 + "é題 </é> more")["input_ids"]
    watch = StopWatch(tokenizer, ("</é>",))
    seen = [watch.is_complete(token_ids[: n + 1]) for n in range(len(token_ids))]
    # 50 + 2 + 3 + 1 bytes before it, and it is 5 bytes long.
    assert seen.index(True) == 50 + 2 + 3 + 1 + 5 - 1
    assert seen.count(True) == 1


def test_a_stop_string_is_seen_after_bytes_that_are_no_text(checkpoints):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoints.llama)
    [broken] = {tokenizer("é")["input_ids"][0]}
    token_ids = [broken] * 30 + tokenizer("stop")["input_ids"]
    watch = StopWatch(tokenizer, ("stop",))
    assert [watch.is_complete(token_ids[: n + 1]) for n in range(34)] == [False] * 33 + [True]


class Listening:
    """A model whose first forward is kept in mind."""

    def __init__(self, model) -> None:
        self.model, self.sizes = model, []
        self.device, self.config = model.device, model.config

    def __call__(self, *, input_ids, **more):
        self.sizes.append(tuple(input_ids.shape))
        return self.model(input_ids=input_ids, **more)


def test_a_prompt_that_several_rows_share_is_read_once_and_changes_no_row(checkpoints):
    model = load_model(find_checkpoint(checkpoints.llama), dtype="float32", device="cpu")
    prompts = [(5, 6, 7), (8, 9, 10, 11, 12), (5, 6, 7), (5, 6, 7)]
    rows = [
        Row(index=index, prompt_ids=prompt, seed=index, max_tokens=6)
        for index, prompt in enumerate(prompts)
    ]
    sampling, no_end = Sampling(temperature=1.0), frozenset[int]()
    heard = Listening(model)
    together = {
        done.index: done.token_ids
        for done in decode(heard, rows, sampling, end_ids=no_end, batch_size=4)
    }
    # Two different prompts, the longer of 5 tokens; from then on a token a row.
    assert heard.sizes == [(2, 5)] + [(4, 1)] * 5
    for row in rows:
        [alone] = decode(model, [row], sampling, end_ids=no_end, batch_size=1)
        assert together[row.index] == alone.token_ids
    assert together[0] != together[2]
