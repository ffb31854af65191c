"""An engine whose responses are a function of the request, for tests of everything around it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from evalharness import pipeline, plan
from evalharness.engines.base import Completion, ModelRecord, PreparedPrompt, Request
from evalharness.records import Prompt, Response, Sampling, Verdict


def answer_two(request: Request) -> Completion:
    return Completion(
        key=request.key, text="so \\boxed{2}", num_tokens=5, finish_reason="stop", stop_reason=None
    )


class ScriptedEngine:
    """Gives `answer(request)` for each request; one character is one token."""

    name = "scripted"

    def __init__(
        self,
        answer: Callable[[Request], Completion] = answer_two,
        context_length: int = 1000,
        revision: str = "r1",
    ) -> None:
        self.answer = answer
        self.context_length = context_length
        self.revision = revision
        self.asked: list[Request] = []
        self.is_closed = False

    def load(self, model: str) -> ModelRecord:
        return ModelRecord(
            model=model,
            revision=self.revision,
            context_length=self.context_length,
            dtype="float32",
            device="cpu",
        )

    def prepare(self, prompt: Prompt) -> PreparedPrompt:
        text = prompt.text or ""
        return PreparedPrompt(text=text, token_ids=tuple(range(len(text))))

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        for request in requests:
            self.asked.append(request)
            yield self.answer(request)

    def close(self) -> None:
        self.is_closed = True

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Answer whatever engine a run names, `scripted` too."""
        monkeypatch.setattr(pipeline, "open_engine", lambda name, options: self)
        monkeypatch.setattr(plan, "check_engine_name", lambda name: None)


class SilentProgress:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.responses: list[Response] = []
        self.verdicts: list[Verdict] = []

    def stage(self, text: str) -> None: ...

    def expect(self, total: int, done: int) -> None: ...

    def response(self, response: Response) -> None:
        self.responses.append(response)

    def judged(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    def note(self, text: str) -> None:
        self.notes.append(text)
