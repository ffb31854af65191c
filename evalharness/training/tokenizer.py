"""A tokenizer without a vocabulary file to fetch: one token a byte, and the ChatML marks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
"""Also the end of a response."""
PADDING = "<|endoftext|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_characters() -> list[str]:
    """The visible character that stands for each byte in a byte-level vocabulary, byte 0 first.

    Source: bytes_to_unicode of openai/gpt-2, src/encoder.py; written out so that the id of a byte
    is its value.
    """
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    substitutes = iter(range(256, 512))
    return [chr(byte if byte in visible else next(substitutes)) for byte in range(256)]


def byte_tokenizer(*, max_length: int, words: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """A tokenizer whose ids 0 to 255 are the bytes of UTF-8, then the ChatML marks, then `words`.

    It has no BOS; EOS is `<|im_end|>`, padding `<|endoftext|>`. Any text survives encoding and
    decoding. A word becomes one token wherever it stands.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {character: byte for byte, character in enumerate(byte_characters())}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    # use_regex splits words as GPT-2 does, add_prefix_space adds one: both would change the text.
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    marks = [
        AddedToken(mark, special=True, normalized=False) for mark in (TURN_START, TURN_END, PADDING)
    ]
    backend.add_special_tokens(marks)
    backend.add_tokens([AddedToken(word, normalized=False) for word in words])
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        eos_token=TURN_END,
        pad_token=PADDING,
        additional_special_tokens=[TURN_START],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=max_length,
        padding_side="left",
    )
