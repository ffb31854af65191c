"""The byte tokenizer: nothing is lost, and nothing is rebuilt on loading."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalharness.training.tokenizer import byte_characters, byte_tokenizer
from evalharness.training.toy import ToyModel, make_toy_model

transformers = pytest.importorskip("transformers", reason="needs the extra [local]")


MICRO = ToyModel(
    hidden_size=32, intermediate_size=32, num_layers=1, num_heads=1, num_kv_heads=1, head_size=32
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer as AutoTokenizer gives it beside a saved model."""
    folder: Path = tmp_path_factory.mktemp("checkpoint")
    tokenizer = byte_tokenizer(max_length=512)
    make_toy_model(MICRO, tokenizer, seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return transformers.AutoTokenizer.from_pretrained(folder)


def test_ids_are_the_bytes_of_utf8(loaded: transformers.PreTrainedTokenizerBase) -> None:
    for text in ("What is 2 + 2?", " \n\t\r\n", "é∑", "🧮", "\x00\x7f\u2028"):
        assert loaded(text)["input_ids"] == list(text.encode())


def test_every_byte_has_a_character_of_its_own() -> None:
    assert len(set(byte_characters())) == 256
    # Worked from GPT-2's table: "A" stands for itself, a space is Ġ, a newline Ċ.
    assert [byte_characters()[byte] for byte in (65, 32, 10)] == ["A", "Ġ", "Ċ"]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text())
def test_any_text_round_trips(loaded: transformers.PreTrainedTokenizerBase, text: str) -> None:
    assert loaded.decode(loaded(text)["input_ids"]) == text


@pytest.mark.parametrize(
    "text",
    [
        "a  b .  c 's",
        "👩‍👩‍👧‍👦 😀",
        "\x00\x01\x1b[31m\x7f",
        "<|im_start|>user\n2<|im_end|>",
        "Ġ Ċ",
        "é",
    ],
)
def test_text_that_other_tokenizers_clean_up_round_trips(
    loaded: transformers.PreTrainedTokenizerBase, text: str
) -> None:
    assert loaded.decode(loaded(text)["input_ids"]) == text


def test_chatml_marks_are_single_tokens_and_there_is_no_bos(
    loaded: transformers.PreTrainedTokenizerBase,
) -> None:
    assert loaded("<|im_start|><|im_end|><|endoftext|>")["input_ids"] == [256, 257, 258]
    assert (loaded.eos_token, loaded.pad_token, loaded.bos_token) == (
        "<|im_end|>",
        "<|endoftext|>",
        None,
    )


def test_chat_template_is_chatml(loaded: transformers.PreTrainedTokenizerBase) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    text = loaded.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\n2 + 2?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_added_words_are_one_token_each_and_fit_the_model() -> None:
    tokenizer = byte_tokenizer(max_length=512, words=(" hmm", " so"))
    ids = tokenizer("11 so hmm so")["input_ids"]
    assert ids == [49, 49, 260, 259, 260]
    assert tokenizer.decode(ids) == "11 so hmm so"
    assert len(tokenizer) == 261 <= ToyModel().vocabulary_size
