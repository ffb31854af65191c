"""How often the 95% intervals hold, over simulated runs with a planted truth.

Run `python -m tests.perf.coverage [RUNS]`; 1000 runs of each take about a minute.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from scipy import stats

from evalharness.analysis.accuracy import proportion
from evalharness.analysis.draws import Draws
from evalharness.analysis.inflation import length_inflation
from evalharness.analysis.paired import paired_difference
from tests.analysis.simulated import planted_pair


def accuracy_coverage(runs: int) -> None:
    """Problems from a beta law; the naive interval takes nk answers as independent."""
    print("\naccuracy   n   k  beta        ours  naive")
    for n, k in ((30, 1), (30, 4), (30, 16), (500, 1)):
        for first, second in ((0.3, 0.7), (2.0, 0.2)):
            rng = np.random.default_rng(0)
            true, problem = first / (first + second), np.repeat(np.arange(n), k)
            ours = naive = 0
            for _ in range(runs):
                p = rng.beta(first, second, size=n)
                found = proportion(rng.random(n * k) < np.repeat(p, k), problem)
                ours += found.low <= true <= found.high
                half = 1.96 * math.sqrt(found.value * (1 - found.value) / (n * k))
                naive += abs(found.value - true) <= half
            print(
                f"         {n:4} {k:3}  {first:g}, {second:g}   {100 * ours / runs:6.1f} "
                f"{100 * naive / runs:6.1f}"
            )


def difference_coverage(runs: int) -> None:
    """The same problems are hard for both; a true difference of 0 and of 10 points."""
    print("\ndifference n   k  true   holds  missing  p<0.05 (sign flip)  p<0.05 (t)")
    for n, k in ((30, 1), (30, 4), (30, 16), (500, 1)):
        for gain in (0.0, 0.1):
            rng = np.random.default_rng(1)
            problem = np.repeat(np.arange(n), k)
            holds = missing = flips = tests = 0
            for _ in range(runs):
                level = rng.random(n)
                pair = []
                for first in (0.3, 0.3 + gain):
                    p = np.repeat(stats.beta.ppf(level, first, 1 - first), k)
                    pair.append(
                        Draws(
                            problem_N=problem,
                            correct_N=rng.random(n * k) < p,
                            tokens_N=np.ones(n * k),
                        )
                    )
                found = paired_difference(*pair)
                if found.low is None or found.high is None:
                    missing += 1
                else:
                    holds += found.low <= gain <= found.high
                flips += found.p_value < 0.05
                tests += (found.p_t or 1.0) < 0.05
            share = 100 * holds / max(runs - missing, 1)
            print(
                f"         {n:4} {k:3}  {gain:.2f}  {share:6.1f}  {missing:7}  "
                f"{100 * flips / runs:18.1f}  {100 * tests / runs:10.1f}"
            )


def inflation_coverage(runs: int) -> None:
    """A model better by 1.5 logits: naive is the ratio of mean wrong lengths."""
    print("\ninflation  n   k  true   correct  wrong  excess   naive  matched")
    for n, k in ((30, 1), (30, 4), (30, 16), (500, 1)):
        for inflation in (1.0, 1.25):
            rng = np.random.default_rng(2)
            holds = dict.fromkeys(("correct", "wrong", "excess_wrong"), 0)
            known = dict.fromkeys(holds, 0)
            naive, matched = [], []
            for _ in range(runs):
                a, b = planted_pair(rng, n=n, k=k, inflation=inflation, gain=1.5)
                found = length_inflation(a, b)
                for name in holds:
                    ratio = getattr(found, name)
                    if ratio is not None and ratio.low is not None:
                        known[name] += 1
                        true = 1.0 if name == "excess_wrong" else inflation
                        holds[name] += ratio.low <= true <= ratio.high
                if found.wrong is not None:
                    matched.append(math.log(found.wrong.value))
                    wrong = [each.tokens_N[~each.correct_N].mean() for each in (a, b)]
                    naive.append(math.log(wrong[1] / wrong[0]))
            shares = [100 * holds[name] / known[name] for name in holds]
            ratios = [math.exp(np.mean(each)) for each in (naive, matched)]
            print(
                f"         {n:4} {k:3}  {inflation:.2f}  {shares[0]:8.1f} {shares[1]:6.1f} "
                f"{shares[2]:7.1f}  {ratios[0]:6.3f}  {ratios[1]:7.3f}"
            )


def main() -> None:
    """Print all three tables."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(f"95% intervals over {runs} simulated runs: how many of 100 hold")
    accuracy_coverage(runs)
    difference_coverage(runs)
    inflation_coverage(runs)


if __name__ == "__main__":
    main()
