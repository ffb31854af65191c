"""Peak memory of merging shards, of opening, exporting and judging the run, and of its metrics.

    python -m tests.perf.run_memory [--responses 25000,200000] [--shards 4]

The shards are simulated: responses of about 1,500 characters to 500 problems and their verdicts,
written by processes of their own. So are the measurements: a process keeps what it once had.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evalharness.plan import Shard, response_keys
from evalharness.records import Problem, Response, ResponseKey, Verdict
from evalharness.store import PARQUET, SPEC, RunWriter, run_id

NUM_PROBLEMS = 500
TABLE = "evalharness@0"
WORDS = "so therefore we have the sum of x and y is equal to 2 4 16 root square hence".split()


def problems() -> list[Problem]:
    return [
        Problem(
            benchmark="sums", problem_id=f"sums/{row}", text=f"What is {row}?", golds=(str(row),)
        )
        for row in range(NUM_PROBLEMS)
    ]


def make_shard(folder: Path, number: int, num_shards: int, num_samples: int) -> None:
    """A finished shard, as far as `merge` looks at it."""
    chance = random.Random(number)
    identity = {
        "models": {"m": "m"},
        "templates": {"no": "0"},
        "sampling": {"num_samples": num_samples, "seed": 0},
        "shard": f"{number}/{num_shards}",
    }
    spec: dict[str, Any] = {
        "format": 1,
        "run_id": run_id(identity),
        "status": "complete",
        "identity": identity,
        "models": {
            "m": {"revision": "r", "engine": "e", "dtype": "float32", "context_length": 4096}
        },
        "templates": {"no": {"answer_format": ["box"]}},
        "benchmarks": {"sums": {"title": "Sums"}},
        "sessions": [{"versions": {}}],
        "golds": "published",
    }
    keys = response_keys(
        ["m"],
        ["no"],
        [each.problem_id for each in problems()],
        num_samples,
        Shard(number=number, num_shards=num_shards),
    )
    chance.shuffle(keys)
    with RunWriter(folder) as writer:
        writer.write_json(SPEC, spec)
        writer.write_problems(problems())
        for start in range(0, len(keys), 1000):
            writer.append([response(key, chance) for key in keys[start : start + 1000]])
        writer.compact()
        writer.write_verdicts(TABLE, [verdict(key) for key in keys])


def response(key: ResponseKey, chance: random.Random) -> Response:
    text = " ".join(chance.choices(WORDS, k=400))
    return Response(
        model=key.model,
        template=key.template,
        benchmark="sums",
        problem_id=key.problem_id,
        sample_index=key.sample_index,
        seed=key.sample_index,
        prompt_sha256="0" * 64,
        prompt_tokens=10,
        response=text,
        num_tokens=400,
        token_limit=1000,
        finish_reason="stop",
    )


def verdict(key: ResponseKey) -> Verdict:
    return Verdict(
        model=key.model,
        template=key.template,
        benchmark="sums",
        problem_id=key.problem_id,
        sample_index=key.sample_index,
        status="correct" if key.sample_index % 2 else "incorrect",
        extracted=str(key.sample_index % 7),
        extraction="box",
        gold="1",
        method="number",
        reason="the numbers are equal or not",
        num_milliseconds=0.1,
        lenient_status="correct" if key.sample_index % 2 else "incorrect",
        answer_group=key.sample_index % 7,
        answer_group_undecided=0,
    )


def merge(folders: list[Path], out: Path) -> None:
    """The whole merge."""
    from evalharness.merging import merge_shards

    merge_shards(folders, out)


def go_on(out: Path) -> None:
    """What a run that was interrupted does before it draws, and at its end."""
    (out / PARQUET).unlink()
    with RunWriter(out) as writer:
        writer.recover()
        writer.compact()


def judge(out: Path) -> None:
    """All responses again; none of these has an answer, so that it is over soon."""
    from evalharness.scoring import score_run

    score_run(out, "published")


def export(out: Path) -> None:
    """One flat table of all responses and verdicts."""
    from evalharness.exporting import export_run

    export_run(out, "csv", out.with_name("out.csv"))


def measure_metrics(out: Path) -> None:
    """What every run computes at its end, which needs a row a verdict."""
    from evalharness.measuring import metrics_of

    metrics_of(out, TABLE)


def measure_imports(out: Path) -> None:
    """What a process has before it begins."""
    for name in ("pandas", "pyarrow.parquet", "scipy.stats", "evalharness.merging"):
        importlib.import_module(name)


def measured(do: Callable[..., None], *arguments: Any) -> str:
    """Peak MiB and seconds of a process that does it."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=_measure, args=(its, do, *arguments))
    process.start()
    its.close()
    kib, seconds = ours.recv()
    process.join()
    return f"{kib / 1024:.0f} MiB, {seconds:.1f} s"


def _measure(pipe: Any, do: Callable[..., None], *arguments: Any) -> None:
    began = time.perf_counter()
    do(*arguments)
    pipe.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter() - began))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--responses", default="25000,200000")
    parser.add_argument("--shards", type=int, default=4)
    options = parser.parse_args()
    for total in map(int, options.responses.split(",")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folders = [folder / f"part-{number}" for number in range(options.shards)]
            for number, part in enumerate(folders):
                measured(make_shard, part, number, options.shards, total // NUM_PROBLEMS)
            print(
                f"{total:,} responses in {options.shards} shards: merge "
                f"{measured(merge, folders, folder / 'out')}; opening it again "
                f"{measured(go_on, folder / 'out')}; exporting it as CSV "
                f"{measured(export, folder / 'out')}; judging it "
                f"{measured(judge, folder / 'out')}; metrics alone "
                f"{measured(measure_metrics, folder / 'out')}; imports alone "
                f"{measured(measure_imports, folder)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
