"""The nouns of the harness: everything that travels between its rooms, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

FinishReason = Literal["stop", "length", "error"]
Status = Literal["correct", "incorrect", "no_answer", "unparsed", "timeout", "error"]
GoldChoice = Literal["published", "corrected"]

STATUSES: tuple[Status, ...] = (
    "correct",
    "incorrect",
    "no_answer",
    "unparsed",
    "timeout",
    "error",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One question of a benchmark with the answers that count as right."""

    benchmark: str
    problem_id: str
    """`<benchmark>/<0-based row of the published file>`."""
    text: str
    golds: tuple[str, ...]
    """As published, normalised by rule; a response that equals any of them is correct."""
    corrected_golds: tuple[str, ...] | None = None
    """From the errata: None where the published golds stand, empty where there is no answer."""
    erratum: str = ""
    """Why the golds were corrected, with the source."""
    policy: dict[str, Any] | None = field(default=None, hash=False)
    """What the benchmark changes in the checker's policy; None where nobody stated one."""

    def golds_under(self, choice: GoldChoice) -> tuple[str, ...]:
        """The accepted answers; empty where the corrected reading says that there is none."""
        if choice == "corrected" and self.corrected_golds is not None:
            return self.corrected_golds
        return self.golds


class Message(NamedTuple):
    """One turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a template makes of a problem: raw text, or messages that the tokenizer renders."""

    template: str
    problem_id: str
    text: str | None = None
    messages: tuple[Message, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How responses are drawn; every field reaches the engine, no model's default does."""

    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0 is off."""
    max_tokens: int = 3000
    num_samples: int = 1
    seed: int = 0
    """Of the run; the seed of one request is derived from it, the problem and the sample index."""


class ResponseKey(NamedTuple):
    """Names one response in a run; `problem_id` starts with the benchmark."""

    model: str
    template: str
    problem_id: str
    sample_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One generated text, as stored."""

    model: str
    template: str
    benchmark: str
    problem_id: str
    sample_index: int
    seed: int | None
    prompt_sha256: str | None
    prompt_tokens: int | None
    response: str
    num_tokens: int | None
    """Generated tokens, EOS not counted."""
    token_limit: int | None
    """The most that could be generated: `max_tokens`, or less where the context ends before."""
    finish_reason: FinishReason | None
    """None where an imported file doesn't say."""
    stop_reason: str | None = None
    """The stop string that ended it; None for EOS."""
    error: str | None = None

    @property
    def key(self) -> ResponseKey:
        return ResponseKey(self.model, self.template, self.problem_id, self.sample_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the checker says of one response, without saying whose it is.

    The fields with a default are younger than the first runs: there they stay empty.
    """

    status: Status
    """Of the strict reading: the answer where the template told the model to put it."""
    extracted: str | None
    """The answer as it stands in the response; None where there is none."""
    extraction: str | None
    """The rule that found it (`box`, `answer-tag`, ...)."""
    gold: str | None
    """The accepted answer that matched; otherwise the first."""
    method: str | None
    """The rule that decided."""
    reason: str
    """One line for a person."""
    num_milliseconds: float
    """Of the comparison."""
    note: str = ""
    """What was odd about the place of the answer (`inside the thinking block`)."""
    start: int | None = None
    """`response[start:end]` is the extracted answer; None where there is none."""
    end: int | None = None
    gold_read: str | None = None
    """What the checker took the gold for."""
    answer_read: str | None = None
    """What the checker took the answer for."""
    policy: str = ""
    """The settings that differ from the default ones, as `key=value, ...`."""
    lenient_status: Status | None = None
    """Of the lenient reading: the same answer, or where there is none that of any place."""
    lenient_extracted: str | None = None
    lenient_extraction: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Judgement):
    """A judgement on a stored response."""

    model: str
    template: str
    benchmark: str
    problem_id: str
    sample_index: int
    answer_group: int | None = None
    """Samples of one problem with the same number gave the same answer, 0 the right one; None
    where there is no answer or no second sample."""
    answer_group_undecided: int | None = None
    """Comparisons with the answers of earlier samples that took too long or failed: they count as
    different."""

    @property
    def key(self) -> ResponseKey:
        return ResponseKey(self.model, self.template, self.problem_id, self.sample_index)
