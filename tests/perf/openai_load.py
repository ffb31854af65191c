"""The openai engine beside a bare aiohttp loop, against a mock server in a process of its own.

    python -m tests.perf.openai_load [--prompts 100000] [--concurrency 256] [--rounds 20]

Both sides send the same bodies over as many connections to the same server and read every answer
as JSON; the bare loop does nothing else. They take turns, so that both see the same machine; the
processor time of this process is told too, because a busy machine blurs the rest. The resident
memory is its least and its most over all rounds, looked at ten times in each.

Then one whole run over as many prompts is killed in the middle of its generation and goes on; what
it had stored must be there after, each response once, and the memory of both processes is told.
"""

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from evalharness.engines.base import EngineOptions, PreparedPrompt, Request
from evalharness.engines.openai import OpenAIEngine, RetryPolicy
from evalharness.engines.openai.requests import request_body
from evalharness.records import ResponseKey, Sampling
from tests.perf.killing import Case, Ending, watch_run, whole_lines

_TEXT = "First we compute the sum, then the product. " * 20 + "\\boxed{42}"
_ANSWER = json.dumps(
    {
        "choices": [{"text": _TEXT, "finish_reason": "stop", "stop_reason": None}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 200},
    }
).encode()


def serve(pipe: Connection) -> None:
    """A server that answers at once; its port goes into the pipe."""
    from aiohttp import web

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "mock", "owned_by": "vllm"}]})

    async def complete(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=_ANSWER, content_type="application/json")

    async def main() -> None:
        app = web.Application()
        app.router.add_get("/v1/models", models)
        app.router.add_post("/v1/completions", complete)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(main())


def bare_seconds(url: str, bodies: list[dict[str, Any]], concurrency: int) -> float:
    """Workers that take the next body until there is none."""
    import aiohttp

    async def main() -> None:
        waiting = iter(bodies)

        async def work(session: aiohttp.ClientSession) -> None:
            for body in waiting:
                async with session.post(url, json=body) as response:
                    answer = json.loads(await response.read())
                    len(answer["choices"][0]["text"])

        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(work(session) for _ in range(concurrency)))

    began = time.perf_counter()
    asyncio.run(main())
    return time.perf_counter() - began


def our_seconds(engine: OpenAIEngine, requests: list[Request]) -> tuple[float, list[int]]:
    """`generate` to its end, and the resident KiB after each tenth."""
    memory, step = [], max(1, len(requests) // 10)
    began = time.perf_counter()
    for number, _ in enumerate(engine.generate(requests, Sampling()), start=1):
        if number % step == 0:
            memory.append(resident_kib())
    return time.perf_counter() - began, memory


def resident_kib() -> int:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompts", type=int, default=100_000)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    ours_end, its_end = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(its_end,))
    server.start()
    url = f"http://127.0.0.1:{ours_end.recv()}/v1"
    engine = OpenAIEngine(
        EngineOptions(base_url=url, concurrency=options.concurrency), RetryPolicy()
    )
    try:
        rate = measure(engine, url, options)
        kill_and_resume(url, options.prompts, options.concurrency, options.prompts / rate)
    finally:
        engine.close()
        server.terminate()
        server.join()


def measure(engine: OpenAIEngine, url: str, options: argparse.Namespace) -> float:
    """Both sides in turns; the engine's requests a second."""
    engine.load("mock")
    requests = [
        Request(
            key=ResponseKey("mock", "no", f"p/{row}", 0),
            prompt=PreparedPrompt(text=f"{row}: What is 6 times 7? " * 10, token_ids=None),
            seed=row,
            max_tokens=1000,
        )
        for row in range(options.prompts // options.rounds)
    ]
    found = engine._server
    assert found
    bodies = [request_body(found, request, Sampling()) for request in requests]
    ratios, ours_cpu, bare_cpu, memory, rates = [], [], [], [], []
    for turn in range(options.rounds):
        gc.collect()
        began = time.process_time()
        ours, resident = our_seconds(engine, requests)
        middle = time.process_time()
        bare = bare_seconds(f"{url}/completions", bodies, options.concurrency)
        ours_cpu.append((middle - began) / len(requests))
        bare_cpu.append((time.process_time() - middle) / len(requests))
        ratios.append(bare / ours)
        memory += resident
        rates.append(len(requests) / ours)
        print(
            f"round {turn + 1}: engine {len(requests) / ours:,.0f} requests/s, bare aiohttp "
            f"{len(requests) / bare:,.0f}, ratio {bare / ours:.2f}"
        )
    print(
        f"{options.rounds * len(requests):,} requests a side at concurrency {options.concurrency}: "
        f"ratio {statistics.median(ratios):.2f} (median of the rounds), CPU a request "
        f"{1e6 * statistics.median(ours_cpu):.0f} and {1e6 * statistics.median(bare_cpu):.0f} us; "
        f"resident MiB {min(memory) / 1024:.0f} to {max(memory) / 1024:.0f}",
        flush=True,
    )
    return statistics.median(rates)


def kill_and_resume(url: str, num_prompts: int, concurrency: int, seconds: float) -> None:
    """One run, killed where it is expected to be half through, and gone on with to its tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = (
            {"problem": f"{row}: What is 6 times 7?", "gold": "42"} for row in range(num_prompts)
        )
        (folder / "load.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        arguments = ["--engine", "openai", "--base-url", url, "--model", "mock", "--template", "no"]
        arguments += ["--benchmark", str(folder / "load.jsonl"), "--max-model-len", "4096"]
        arguments += ["--max-tokens", "1000", "--concurrency", str(concurrency)]
        case = Case(fault="load", arguments=arguments)
        out, began = folder / "run", time.monotonic()
        first = watch_run(case, out, "generate", seconds / 2)
        before = whole_lines(out)
        _tell_run("killed", first, len(before), began)
        began = time.monotonic()
        second = watch_run(case, out, "report", 0)
        lines = whole_lines(out)
        _tell_run("resumed, to its tables", second, len(lines), began)
        keys = {json.loads(line)["problem_id"] for line in lines}
        is_kept = lines[: len(before)] == before
        print(
            f"{len(lines) - len(keys)} repeated, {num_prompts - len(keys)} missing; the "
            f"{len(before):,} lines from before the kill are {'' if is_kept else 'NOT '}there"
        )
        if not is_kept or not len(lines) == len(keys) == num_prompts:
            raise SystemExit(1)


def _tell_run(what: str, ending: Ending, num_lines: int, began: float) -> None:
    memory = [kib for _, kib in ending.stored]
    tenths = [memory[place * (len(memory) - 1) // 10] // 1024 for place in range(11)]
    print(
        f"run {what} after {time.monotonic() - began:.0f} s in phase {ending.phase}: {num_lines:,} "
        f"responses stored; resident MiB at each tenth of its appends {tenths}",
        flush=True,
    )


if __name__ == "__main__":
    main()
