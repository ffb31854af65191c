"""Speed of the engines on a checkpoint: ours against generate and against a bare vLLM.

python tests/perf/engines.py CHECKPOINT [OTHER_CHECKPOINT_OF_THE_SAME_ARCHITECTURE]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from evalharness.engines import open_engine
from evalharness.engines.base import Engine, EngineOptions, Request
from evalharness.records import Prompt, ResponseKey, Sampling

HOT = Sampling(temperature=1.0)


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The best of a few runs."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def requests_of(engine: Engine, num: int, max_tokens: int) -> list[Request]:
    made = []
    for i in range(num):
        prompt = engine.prepare(
            Prompt(template="no", problem_id=f"p/{i}", text=f"{i}: " + "x" * 40)
        )
        key = ResponseKey("m", "no", f"p/{i}", 0)
        made.append(Request(key=key, prompt=prompt, seed=i, max_tokens=max_tokens))
    return made


def measure_transformers(checkpoint: str) -> None:
    import torch

    engine = open_engine("transformers", EngineOptions(batch_size=64))
    engine.load(checkpoint)
    requests = requests_of(engine, 64, 128)
    num_tokens = 0

    def ours() -> None:
        nonlocal num_tokens
        num_tokens = sum(done.num_tokens or 0 for done in engine.generate(requests, HOT))

    took = seconds(ours)
    print(f"transformers engine, 64 rows: {num_tokens / took:.0f} tokens/s ({took:.2f} s)")
    loaded = engine._loaded
    width = max(len(one.prompt.token_ids) for one in requests)
    ids = [[0] * (width - len(one.prompt.token_ids)) + [*one.prompt.token_ids] for one in requests]
    mask = [[int(i >= width - len(one.prompt.token_ids)) for i in range(width)] for one in requests]
    inputs = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}

    def generate() -> None:
        nonlocal num_tokens
        rows = loaded.model.generate(
            **inputs, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=128
        )[:, width:]
        ends = torch.isin(rows, torch.tensor(sorted(loaded.end_ids))).cumsum(dim=1)
        num_tokens = int((ends == 0).sum())

    took = seconds(generate)
    print(f"model.generate, 64 rows: {num_tokens / took:.0f} tokens/s ({took:.2f} s)")


def measure_vllm(checkpoint: str, other: str | None) -> None:
    engine = open_engine("vllm", EngineOptions())
    print(f"vllm start: {seconds(lambda: engine.load(checkpoint), 1):.1f} s")
    if other is not None:
        print(f"vllm weight swap: {seconds(lambda: engine.load(other), 1):.2f} s")
    from evalharness.engines.vllm_arguments import sampling_params

    requests = requests_of(engine, 512, 64)
    prompts = [{"prompt_token_ids": list(one.prompt.token_ids)} for one in requests]
    params = [sampling_params(one, HOT, engine._loaded.end_ids) for one in requests]

    def bare() -> None:
        engine._llm.reset_prefix_cache()
        engine._llm.generate(prompts, params, use_tqdm=False)

    def ours() -> None:
        engine._llm.reset_prefix_cache()
        list(engine.generate(requests, HOT))

    bare_seconds, our_seconds = seconds(bare, 4), seconds(ours, 4)
    ratio = our_seconds / bare_seconds
    print(f"512 requests: bare {bare_seconds:.2f} s, ours {our_seconds:.2f} s, ratio {ratio:.3f}")
    engine.close()


if __name__ == "__main__":
    measure_transformers(sys.argv[1])
    measure_vllm(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
