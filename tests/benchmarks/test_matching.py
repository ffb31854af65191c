import json
import os
from collections import Counter
from pathlib import Path

import pytest

from evalharness.benchmarks import Benchmark, load_benchmark
from evalharness.benchmarks.matching import ProblemIndex
from evalharness.records import Problem

DATA = os.environ.get("EVALHARNESS_DATA")
FIGURE = "Find the area of the triangle with sides three, four and five shown below."


def benchmark(name, texts, aliases=()):
    problems = tuple(
        Problem(benchmark=name, problem_id=f"{name}/{row}", text=text, golds=("1",))
        for row, text in enumerate(texts)
    )
    return Benchmark(
        name=name,
        title=name,
        problems=problems,
        fingerprint="",
        source="",
        num_published=len(problems),
        verified=True,
        aliases=aliases,
    )


INDEX = ProblemIndex(
    [
        benchmark("big", ["What is 1+1?", "What is\n2+2?", FIGURE, "twice", "twice"], ["big_test"]),
        benchmark("small", ["What is 2+2?"]),
    ]
)


@pytest.mark.parametrize(
    ("name", "problem_id", "text", "found"),
    [
        ("big", None, "What is  2 + 2? ", "big/1"),
        ("BIG-test", None, "What is 1+1?", "big/0"),
        # The text wins over an id that counts another file's rows.
        ("big", "big/0", "What is 2+2?", "big/1"),
        ("small", "big/1", "What is 2+2?", "small/0"),
        ("big", "big_test/1", None, "big/1"),
        ("big", "big/1", " ", "big/1"),
        ("big", "big/4", "twice", "big/4"),
        ("big", None, "twice", "big/3"),
        # A copy with a figure added is still that row.
        ("big", "big/2", FIGURE + " [asy] draw((0,0)--(3,4)); [/asy]", "big/2"),
        ("big", None, FIGURE + " [asy] draw((0,0)--(3,4)); [/asy]", None),
        # A text of another problem contradicts the id.
        ("big", "big/0", "Name the capital of France.", None),
        # An id of another benchmark says nothing.
        ("small", "big/0", None, None),
        ("big", "big/9", None, None),
        ("big", "7", None, None),
        ("other", "big/0", "What is 1+1?", None),
    ],
)
def test_text_decides_and_an_uncontradicted_id_helps(name, problem_id, text, found):
    problem = INDEX.find(name, problem_id, text)
    assert (problem and problem.problem_id) == found


@pytest.mark.skipif(not DATA, reason="EVALHARNESS_DATA names no folder of real data")
def test_real_outputs_of_other_harnesses_find_their_rows():
    names = ("aime24", "amc", "amc23", "math500", "minerva", "olympiadbench", "gsm8k")
    index = ProblemIndex([load_benchmark(name) for name in names])
    matched, missed = Counter(), Counter()
    for file in sorted((Path(DATA) / "outputs").glob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                found = index.find(row["benchmark"], row["problem_id"], row["problem"])
                (missed if found is None else matched)[row["benchmark"]] += 1
    # Only the hundred MATH test problems (8 samples each) belong to no shipped benchmark.
    assert missed == {"math_test100": 800}
    assert matched == {
        "aime24": 30 + 30 + 330,
        "amc23": 40 + 40,
        "math500": 500 + 500 + 1500 + 1000,
        "minerva_math": 272 + 272 + 816,
        "olympiadbench": 675 + 1350,
        "gsm8k_test": 2 * 1319,
    }


@pytest.mark.skipif(not DATA, reason="EVALHARNESS_DATA names no folder of real data")
def test_amc23_rows_with_amc_ids_are_found_by_text():
    index = ProblemIndex([load_benchmark("amc"), load_benchmark("amc23")])
    text = load_benchmark("amc23").problems[0].text
    # Row 43 of the 83 is row 0 of the 40.
    assert index.find("amc", None, text).problem_id == "amc/43"
    assert index.find("amc23", "amc/43", text).problem_id == "amc23/0"
    assert index.find("amc23", "amc/43", None) is None


LONG = ["How many primes lie below one hundred?", "How many primes lie below one hundred? Add 7."]
PROMPTS = ProblemIndex(
    [benchmark("long", [*LONG, "What is the square of fifteen, exactly?", "1+1?"])]
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"Solve this.\n\n{LONG[0]}\n\nAnswer:", "long/0"),
        # The first problem stands in the second: the longer one is meant.
        (f"Solve this.\n{LONG[1]}", "long/1"),
        # A few-shot prompt has several problems: none of them is named.
        (f"{LONG[0]} 25.\nWhat is the square of fifteen, exactly?", None),
        ("Solve this: 1+1?", None),  # too short to be no chance
        ("Solve this.", None),
    ],
)
def test_a_prompt_around_one_problem_is_that_problem(text, found):
    problem = PROMPTS.find_in_prompt("long", text)
    assert (problem.problem_id if problem else None) == found


def test_a_task_is_the_smallest_benchmark_that_has_all_its_problems():
    assert INDEX.holding(["What is 2 + 2?"]).name == "small"
    assert INDEX.holding(["What is 2 + 2?", "What is 1+1?"]).name == "big"
    assert INDEX.holding(["What is 2 + 2?", "What is 3+3?"]) is None
    assert INDEX.holding([]) is None
