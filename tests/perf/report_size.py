"""How big an HTML report is and how soon it is ready, and how long a report of a big run takes.

    python tests/perf/report_size.py [--responses 50000] [--big 1000000]

The runs are simulated: 5 benchmarks under 2 templates, 4 models in the small run and --models in
the big one, so many samples as the number needs.
With --big a second run of that many responses is written to the disk, and `evalharness report` is
timed on it in a process of its own, with its peak memory. Needs Chromium for the time to ready.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evalharness.records import Problem
from evalharness.report.runs import ReportOptions, render_runs
from evalharness.store import PARQUET, SPEC, RunWriter

SIZES = {"aime24": 30, "amc": 83, "math500": 500, "minerva": 272, "olympiadbench": 675}
TEMPLATES = ["no", "qwen-math"]
LIMIT = 3000


def simulate(folder: Path, num_responses: int, letters: int, num_models: int) -> int:
    """A run folder of about so many responses with `letters` letters each; how many it has."""
    problems = [
        Problem(
            benchmark=name,
            problem_id=f"{name}/{row}",
            text=f"{name} {row}: what is {row} + 1?",
            golds=(str(row + 1),),
        )
        for name, size in SIZES.items()
        for row in range(size)
    ]
    models = [f"org/run/step-{100 * step}" for step in range(1, num_models + 1)]
    cells = [(model, template) for model in models for template in TEMPLATES]
    samples = max(round(num_responses / len(cells) / len(problems)), 1)
    rng = np.random.default_rng(0)
    ease = rng.beta(0.5, 0.6, len(problems))
    spec: dict[str, Any] = {
        "format": 1,
        "run_id": "0" * 16,
        "status": "complete",
        "identity": {"sampling": {"temperature": 1.0, "max_tokens": LIMIT}},
        "models": {model: {"engine": "simulated"} for model in models},
        "templates": {name: {"answer_format": ["box"]} for name in TEMPLATES},
        "benchmarks": {
            name: {"title": name, "fingerprint": None, "num_problems": size, "source": "simulated"}
            for name, size in SIZES.items()
        },
        "golds": "published",
        "sessions": [],
    }
    with RunWriter(folder) as writer:
        writer.write_json(SPEC, spec)
        writer.write_problems(problems)
    keys = pd.MultiIndex.from_product(
        [range(len(problems)), range(len(cells)), range(samples)]
    ).to_frame(index=False, name=["problem", "cell", "sample_index"])
    problem_N, cell_N = keys["problem"].to_numpy(), keys["cell"].to_numpy()
    num = len(keys)
    skill = np.linspace(-0.15, 0.15, len(cells))
    correct_N = rng.random(num) < np.clip(ease[problem_N] + skill[cell_N], 0, 1)
    tokens_N = np.exp(rng.normal(6 + 0.6 * (1 - ease[problem_N]) + 0.3 * ~correct_N, 0.5))
    is_cut_N = tokens_N >= LIMIT
    tokens_N = np.minimum(tokens_N, LIMIT).astype(int)
    ids = np.array([each.problem_id for each in problems], dtype=object)
    names = np.array([each.benchmark for each in problems], dtype=object)
    frame = pd.DataFrame(
        {
            "model": np.array([model for model, _ in cells], dtype=object)[cell_N],
            "template": np.array([template for _, template in cells], dtype=object)[cell_N],
            "benchmark": names[problem_N],
            "problem_id": ids[problem_N],
            "sample_index": keys["sample_index"],
            "num_tokens": tokens_N,
            "token_limit": LIMIT,
            "finish_reason": np.where(is_cut_N, "length", "stop"),
        }
    )
    digits = rng.bytes(num * letters // 2).hex()  # what compresses to half, as prose does
    texts = [digits[place * letters : (place + 1) * letters] for place in range(num)]
    responses = frame.assign(
        seed=1,
        prompt_sha256=None,
        prompt_tokens=20,
        response=texts,
        stop_reason=None,
        error=None,
    )
    _write(folder / PARQUET, responses)
    status = np.where(correct_N, "correct", np.where(is_cut_N, "no_answer", "incorrect"))
    answers = np.where(correct_N, problem_N + 1, rng.integers(0, 9, num)).astype(str)
    verdicts = frame[["model", "template", "benchmark", "problem_id", "sample_index"]].assign(
        status=status,
        extracted=np.where(status == "no_answer", None, answers.astype(object)),
        extraction="box",
        gold=(problem_N + 1).astype(str),
        method="exact",
        reason="simulated",
        num_milliseconds=1.0,
    )
    (folder / "verdicts").mkdir()
    _write(folder / "verdicts" / "simulated@1.parquet", verdicts)
    return num


def _write(path: Path, frame: pd.DataFrame) -> None:
    frame.to_parquet(path, compression="zstd", index=False)


def ready_milliseconds(page: Path, repeats: int) -> list[float]:
    """From the start of the navigation to a page that answers, in a fresh tab each time."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    from tests.report.conftest import FLAGS, find_chromium

    found = find_chromium() if repeats else None
    if found is None:
        print("no chromium: the time to ready is not measured")
        return []
    options = webdriver.ChromeOptions()
    options.binary_location = found.browser
    times = []
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=Service(found.driver))
        for _ in range(repeats):
            driver.get("about:blank")
            driver.get(page.resolve().as_uri())
            WebDriverWait(driver, 60, 0.02).until(
                lambda driver: driver.execute_script(
                    "return document.documentElement.dataset.ready === 'true'"
                )
            )
            times.append(
                float(
                    driver.execute_script(
                        "return document.documentElement.dataset.readyMilliseconds"
                    )
                )
            )
        driver.quit()
    return times


def time_report(folder: Path, form: str) -> None:
    """One `evalharness report` in its own process."""
    began = time.perf_counter()
    out = folder / f"out.{form}"
    command = [sys.executable, "-m", "evalharness", "report", str(folder), "--format", form]
    subprocess.run([*command, "--out", str(out)], check=True)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    size = out.stat().st_size / 2**20
    print(f"  {form}: {seconds:.1f} s, peak {peak:.2f} GiB so far, {size:.2f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--responses", type=int, default=50_000)
    parser.add_argument("--big", type=int, default=0)
    parser.add_argument("--models", type=int, default=20, help="of the big run")
    parser.add_argument("--letters", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "small"
        num = simulate(folder, options.responses, options.letters, 4)
        began = time.perf_counter()
        about = ReportOptions(with_texts=False, num_responses=num)
        page = folder / "report.html"
        page.write_text(render_runs([folder], "html", about), encoding="utf-8")
        seconds = time.perf_counter() - began
        size = page.stat().st_size / 1e6
        print(f"{num} responses without texts: {size:.2f} MB, made in {seconds:.1f} s", flush=True)
        times = ready_milliseconds(page, options.repeats)
        if times:
            print(f"  ready after {json.dumps(times)} ms", flush=True)
        if options.big:
            folder = Path(place) / "big"
            num = simulate(folder, options.big, options.letters, options.models)
            parquet = (folder / PARQUET).stat().st_size / 2**20
            print(f"{num} responses, {parquet:.0f} MiB on the disk", flush=True)
            for form in ("json", "html"):
                time_report(folder, form)


if __name__ == "__main__":
    main()
