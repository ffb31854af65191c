"""Ray actors beside one process: the same responses, and what the layer costs.

    python tests/perf/ray_actors.py [--prompts 200] [--engine transformers] [--max-tokens 48]

Draws the same requests without Ray, with 1 CPU actor and with 4, from the shipped tiny checkpoint.
The time is that of `generate`, once with starting the actors and their engines and once from the
first response on; 4 actors are faster only where there are cores for them.
"""

import argparse
import os
import time
from typing import NamedTuple

from evalharness.engines import open_engine
from evalharness.engines.base import Completion, EngineOptions, Request
from evalharness.records import Prompt, ResponseKey, Sampling


class Measured(NamedTuple):
    found: dict[ResponseKey, Completion]
    seconds: float
    """From the call on."""
    streaming_seconds: float
    """From the first response on."""


def measure(name: str, options: EngineOptions, num_prompts: int, max_tokens: int) -> Measured:
    engine = open_engine(name, options)
    try:
        engine.load("tiny")
        requests = []
        for number in range(num_prompts):
            text = f"What is {number % 90}+{number % 7}?"
            prompt = engine.prepare(Prompt(template="no", problem_id=f"p/{number}", text=text))
            key = ResponseKey("tiny", "no", f"p/{number}", 0)
            requests.append(Request(key=key, prompt=prompt, seed=number, max_tokens=max_tokens))
        began = time.perf_counter()
        first = began
        found: dict[ResponseKey, Completion] = {}
        for completion in engine.generate(requests, Sampling(temperature=1.0)):
            if not found:
                first = time.perf_counter()
            if completion.key in found:
                raise SystemExit(f"{completion.key} came twice")
            found[completion.key] = completion
        ended = time.perf_counter()
    finally:
        engine.close()
    return Measured(found, ended - began, ended - first)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--engine", default="transformers")
    parser.add_argument("--max-tokens", type=int, default=48)
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, {given.prompts} prompts, {given.engine}")
    alone = None
    for workers in (0, 1, 4):
        options = EngineOptions(
            device="cpu",
            batch_size=16,
            ray_workers=workers or None,
            ray_engine=given.engine,
            # In a process of its own, as beside an actor.
            engine_timeout=None if workers else 300.0,
        )
        name = "ray" if workers else given.engine
        measured = measure(name, options, given.prompts, given.max_tokens)
        alone = alone or measured
        label = f"Ray, {workers} actors" if workers else "one process, no Ray"
        differ = sum(alone.found[key] != each for key, each in measured.found.items())
        print(
            f"{label}: {len(measured.found)} of {given.prompts} responses, {differ} differ; "
            f"{measured.seconds:.1f} s with start, {measured.streaming_seconds:.1f} s streaming "
            f"({measured.streaming_seconds / alone.streaming_seconds:.2f} of one process)"
        )


if __name__ == "__main__":
    main()
