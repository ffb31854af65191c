"""An engine that dies, hangs or breaks over the prompts that say so; opened in a child process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from evalharness.engines.base import (
    Completion,
    Engine,
    EngineOptions,
    ModelRecord,
    PreparedPrompt,
    Request,
)
from evalharness.engines.pulse import beat
from evalharness.errors import EngineError, InputError
from evalharness.records import Prompt, Sampling


def create_engine(name: str, options: EngineOptions) -> Engine:
    """The engine `name`; its base_url is the folder in which it leaves marks."""
    if name == "unknown":
        raise InputError('unknown engine "unknown"')
    return DyingEngine(Path(options.base_url or ""))


class DyingEngine:
    """Reads all requests before it answers, as an engine that works on a batch does."""

    name = "dying"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, model: str) -> ModelRecord:
        (self.folder / f"loaded-{os.getpid()}").touch()
        if model == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        if model == "missing":
            raise EngineError("no such model")
        revision = "r2" if model == "changing" and len(list(self.folder.iterdir())) > 1 else "r1"
        return ModelRecord(
            model=model, revision=revision, context_length=100, dtype="float32", device="cpu"
        )

    def prepare(self, prompt: Prompt) -> PreparedPrompt:
        print("an engine that prints")
        return PreparedPrompt(text=prompt.text or "", token_ids=(1, 2), messages=prompt.messages)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completion]:
        for request in self.in_order(requests):
            text = request.prompt.text
            once = self.folder / "once"
            if text == "killed once" and not once.exists():
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if text.startswith("kill ") or text == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if text == "end the parent" or (text == "end the parent once" and not once.exists()):
                once.touch()
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(3600)  # until the parent's end is noticed
            if text == "refuse":
                raise EngineError("the key is refused")
            if text == "break":
                raise RuntimeError("CUDA error")
            if text == "exit":
                os._exit(3)
            if text == "hang" and not once.exists():
                once.touch()
                time.sleep(3600)
            if text == "environment":
                text = " ".join(
                    f"{name}={os.environ.get(name)}"
                    for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
                )
            if text == "slow":
                for _ in range(30):
                    time.sleep(0.1)
                    beat()
            yield Completion(
                key=request.key,
                text=f"{text}\ud83d at {sampling.temperature} by {os.getpid()}",
                num_tokens=3,
                finish_reason="stop",
                token_ids=(7, 8),
            )

    def in_order(self, requests: Sequence[Request]) -> Iterator[Request]:
        """As they come; those that wait only when someone who got what came before says go."""
        waiting: list[Request] = []
        place = looks = 0
        while place < len(requests) or waiting:
            if place < len(requests):
                request, place = requests[place], place + 1
                if request.prompt.text != "wait":
                    yield request
                else:
                    waiting.append(request)
            elif (self.folder / "go").exists():
                yield waiting.pop()
            elif (looks := looks + 1) > 600:
                raise EngineError("nobody said go")
            else:
                beat()
                time.sleep(0.1)

    def close(self) -> None:
        (self.folder / "closed").touch()
