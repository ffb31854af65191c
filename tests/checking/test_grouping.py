from __future__ import annotations

from concurrent.futures import Future

from evalharness.checking import Ballot, CheckerPool, Policy, find_groups
from evalharness.checking.equivalence import Identity
from evalharness.checking.judging import Outcome, failure

DEFAULT = Policy()


def test_every_ballot_is_counted_by_itself() -> None:
    halves = Ballot(["0.5", None, "\\frac{1}{2}", "1"], DEFAULT)
    roots = Ballot(["x^2-1", "(x-1)(x+1)", "1"], DEFAULT)
    with CheckerPool(num_workers=1) as pool:
        found = find_groups([halves, roots], pool)
    assert [groups.numbers for groups in found] == [[0, -1, 0, 1], [0, 0, 1]]
    assert [sum(groups.num_undecided) for groups in found] == [0, 0]


def test_the_policy_of_the_problem_says_what_is_the_same() -> None:
    answers = ["4.25", "4.3", "4.2500"]
    loose = Policy(absolute_tolerance=0.1)
    with CheckerPool(num_workers=1) as pool:
        exact, near = find_groups([Ballot(answers, DEFAULT), Ballot(answers, loose)], pool)
    assert (exact.numbers, near.numbers) == ([0, 1, 0], [0, 0, 0])


def test_an_answer_that_cannot_be_read_equals_only_its_own_text() -> None:
    answers = ["\\foo{3}", "3", "$\\foo{3}$", "\\foo{4}"]
    with CheckerPool(num_workers=1) as pool:
        (groups,) = find_groups([Ballot(answers, DEFAULT)], pool)
    assert groups.numbers == [0, 1, 0, 2]


class SlowPool:
    """Every comparison with an answer that has an x takes too long; nothing is decided here."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def identify(self, answer: str, policy: Policy) -> Identity:
        return Identity("other", ("text", answer))

    def compare_here(self, golds: tuple[str, ...], answer: str, policy: Policy) -> None:
        return None

    def compare(self, golds: tuple[str, ...], answer: str, policy: Policy) -> Future[Outcome]:
        self.asked.append((golds[0], answer))
        is_slow = "x" in golds[0] + answer
        future: Future[Outcome] = Future()
        future.set_result(failure("timeout" if is_slow else "incorrect", golds, ""))
        return future


def test_an_answer_that_twice_took_too_long_is_compared_no_more() -> None:
    pool = SlowPool()
    (groups,) = find_groups([Ballot(["x", "a", "b", "c"], DEFAULT)], pool)  # type: ignore[arg-type]
    # a and b meet x and time out, c isn't tried; a-b, a-c and b-c are compared.
    assert pool.asked == [("x", "a"), ("x", "b"), ("a", "b"), ("a", "c"), ("b", "c")]
    assert groups.numbers == [0, 1, 2, 3]
    assert groups.num_undecided == [0, 1, 1, 1]
