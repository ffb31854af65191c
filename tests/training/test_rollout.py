"""What a reward is given for is what the evaluation would give a verdict on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from evalharness.checking import CheckerPool, Policy, Submission
from evalharness.engines import transformers as engine
from evalharness.engines.base import PreparedPrompt, Request
from evalharness.engines.checkpoints import find_checkpoint, load_tokenizer
from evalharness.engines.decoding import Finished
from evalharness.paths import tiny_checkpoint
from evalharness.records import Problem, ResponseKey
from evalharness.templates import Template, load_template
from evalharness.training import rollout
from evalharness.training.rollout import Asker, Drawn, ModelSampler, RolloutRequest
from evalharness.training.tokenizer import byte_characters

transformers = pytest.importorskip("transformers", reason="needs the extra [local]")

# Characters of one, two, three and four bytes.
TEXT = "Also é ≥ 3½, 因此答案是 \\boxed{42}。 🧮 ∎"
BYTE_OF = {letter: byte for byte, letter in enumerate(byte_characters())}


@pytest.fixture(scope="module", params=["bytes", "merged"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """That of the tiny checkpoint, and one whose tokens are several bytes, parts of letters too."""
    if request.param == "bytes":
        return load_tokenizer(find_checkpoint(str(tiny_checkpoint())), trust_remote_code=False)
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=275,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<end>"],
        show_progress=False,
    )
    backend.train_from_iterator([TEXT, "因此因此 答案答案 éèê 🧮🧮"], trainer)
    merged = transformers.PreTrainedTokenizerFast(tokenizer_object=backend)
    merged.eos_token = "<end>"  # noqa: S105 - no password
    return merged


def whole_letters(tokenizer: Any, token_ids: Sequence[int]) -> str:
    """Worked from the bytes of the tokens: what UTF-8 makes of them without the cut end."""
    tokens = tokenizer.convert_ids_to_tokens(token_ids)
    return bytes(BYTE_OF[letter] for token in tokens for letter in token).decode(errors="ignore")


def drawn(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any, finished: Finished, template: Template
) -> Drawn:
    """A rollout by our own sampler whose model says the tokens of `finished`."""
    monkeypatch.setattr(rollout, "decode", lambda *_, **__: iter([finished]))
    sampler = ModelSampler(None, tokenizer, end_ids=frozenset(), temperature=1.0)
    request = RolloutRequest(prompt_ids=(1,), seed=0, max_tokens=100)
    [only] = sampler.draw([request], template.stop, keep_stop=template.keep_stop)
    return only


def evaluated(tokenizer: Any, finished: Finished, template: Template) -> str:
    """The text of the same tokens in the evaluation."""
    request = Request(
        key=ResponseKey("m", template.name, "own/0", 0),
        prompt=PreparedPrompt(text="", token_ids=(1,)),
        seed=0,
        max_tokens=100,
        stop=template.stop,
        keep_stop=template.keep_stop,
    )
    return engine._completion(request, finished, tokenizer).text


def test_a_rollout_cut_anywhere_has_the_text_of_the_evaluation(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    token_ids = tuple(tokenizer(TEXT)["input_ids"])
    template = load_template("no")
    cut_letters = 0
    for end in range(len(token_ids) + 1):
        said = token_ids[:end]
        kept = whole_letters(tokenizer, said)
        cut_letters += tokenizer.decode(list(said)) != kept
        for finished in (
            Finished(index=0, token_ids=said, finish="length"),
            Finished(index=0, token_ids=said, finish="stop", end_id=tokenizer.eos_token_id),
        ):
            found = drawn(monkeypatch, tokenizer, finished, template)
            assert found.text == kept == evaluated(tokenizer, finished, template)
            assert found.token_ids == (
                said if found.is_truncated else (*said, tokenizer.eos_token_id)
            )
    assert kept == TEXT
    # é and ½ can be cut at one place, eight letters of three bytes at two, the abacus at three:
    # 2 * 1 + 8 * 2 + 3 = 21 with a token a byte; fewer where a token is several.
    assert cut_letters == 21 if len(token_ids) == len(TEXT.encode()) else 0 < cut_letters < 21


@pytest.mark.parametrize("keep_stop", [True, False])
def test_a_stop_string_stays_in_a_rollout_where_it_stays_in_the_evaluation(
    monkeypatch: pytest.MonkeyPatch, tokenizer: Any, keep_stop: bool
) -> None:
    template = replace(load_template("no"), stop=(r"\boxed{2}",), keep_stop=keep_stop)
    said = tuple(tokenizer(r"因 \boxed{1}. Next: \boxed{2}")["input_ids"])
    finished = Finished(index=0, token_ids=said, finish="stop")
    found = drawn(monkeypatch, tokenizer, finished, template)
    assert found.text == evaluated(tokenizer, finished, template)
    assert found.text == r"因 \boxed{1}. Next: " + keep_stop * r"\boxed{2}"
    problem = Problem(benchmark="own", problem_id="own/0", text="0+1?", golds=("1",))
    with CheckerPool() as pool:
        asker = Asker(template=template, tokenizer=tokenizer, pool=pool)
        rewards = asker.rewards([problem], [found])
        asked = Submission(
            evaluated(tokenizer, finished, template), ("1",), template.answer_format, Policy()
        )
        [verdict] = pool.submit_all([asked]).result()
    # The last box counts: it is the 2 where the stop string stays.
    assert rewards == [float(verdict.status == "correct")] == [float(not keep_stop)]
