"""Which answers to one problem are the same, for majority voting: by the rules of the checker."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evalharness.checking.equivalence import Identity
from evalharness.checking.policy import Policy
from evalharness.checking.workers import CheckerPool

NO_GROUP = -1
"""The group of an answer that is None: it votes for nothing."""
_MOST_UNDECIDED = 2
"""An answer that took too long beside so many others is compared with no more of them."""


class Ballot(NamedTuple):
    """The answers to one problem, in the order in which they stand."""

    answers: Sequence[str | None]
    """None where there is no answer, or one that needs no comparing."""
    policy: Policy


class Groups(NamedTuple):
    """Which answers of a ballot are the same."""

    numbers: list[int]
    """Of each answer, from 0 in the order of their first answers; `NO_GROUP` for None."""
    num_undecided: list[int]
    """Of each answer the comparisons with one before it that took too long or failed: they count
    as different."""


def find_groups(ballots: Iterable[Ballot], pool: CheckerPool) -> list[Groups]:
    """The groups of every ballot, the ballots side by side, so that no worker waits for one.

    An answer joins the first group whose first answer it equals under the rules that compare an
    answer with a gold, in either direction. What text, plain numbers or the bounded stages decide
    is decided here, the rest by the pool.

    Raises:
        CheckerError: no worker process can start.
    """
    searches = [_search(ballot, pool) for ballot in ballots]
    found: dict[int, Groups] = {}
    active = dict(enumerate(searches))
    while active:
        for number, search in list(active.items()):
            try:
                next(search)
            except StopIteration as done:
                found[number] = done.value
                del active[number]
    return [found[number] for number in range(len(searches))]


@dataclass(slots=True, kw_only=True)
class _Answer:
    """One spelling of an answer."""

    text: str
    identity: Identity
    num_undecided: int = 0
    """Comparisons, from either side, that took too long or failed."""


def _search(ballot: Ballot, pool: CheckerPool) -> Generator[None, None, Groups]:
    """Finds the groups of one ballot; yields wherever it has to wait for a worker."""
    leaders: list[_Answer] = []
    by_text: dict[str, tuple[int, int]] = {}
    by_key: dict[object, int] = {}
    for answer in ballot.answers:
        if answer is None or answer in by_text:
            continue
        this = _Answer(text=answer, identity=pool.identify(answer, ballot.policy))
        number, num_undecided = by_key.get(this.identity.key), 0
        for place, leader in enumerate(leaders):
            if number is not None:
                break
            if not _may_be_same(leader, this):
                continue
            same = _same_here(leader, this, pool, ballot.policy)
            if same is None:
                same = yield from _same_there(leader, this, pool, ballot.policy)
            if same:
                number = place
            num_undecided += same is None
        if number is None:
            number = len(leaders)
            leaders.append(this)
        by_key.setdefault(this.identity.key, number)
        by_text[answer] = number, num_undecided
    places = [(NO_GROUP, 0) if each is None else by_text[each] for each in ballot.answers]
    return Groups([number for number, _ in places], [count for _, count in places])


def _may_be_same(first: _Answer, second: _Answer) -> bool:
    """Whether comparing can find what their identities don't show."""
    kinds = {first.identity.kind, second.identity.kind}
    return "unreadable" not in kinds and kinds != {"number"}


def _same_here(first: _Answer, second: _Answer, pool: CheckerPool, policy: Policy) -> bool | None:
    """What the bounded stages say; None where only a worker can."""
    is_decided = True
    for gold, answer in _directions(first, second, policy):
        found = pool.compare_here((gold,), answer, policy)
        if found is not None and found.status == "correct":
            return True
        is_decided &= found is not None
    return False if is_decided else None


def _same_there(
    first: _Answer, second: _Answer, pool: CheckerPool, policy: Policy
) -> Generator[None, None, bool | None]:
    """What a worker says; None where it took too long or failed."""
    if max(first.num_undecided, second.num_undecided) >= _MOST_UNDECIDED:
        return None
    for gold, answer in _directions(first, second, policy):
        comparison = pool.compare((gold,), answer, policy)
        yield
        status = comparison.result().status
        if status == "correct":
            return True
        if status in ("timeout", "error"):
            first.num_undecided += 1
            second.num_undecided += 1
            return None
    return False


def _directions(first: _Answer, second: _Answer, policy: Policy) -> list[tuple[str, str]]:
    """Both ways round where it makes a difference which of them is the gold."""
    pair = (first.text, second.text)
    has_tolerance = policy.relative_tolerance or policy.absolute_tolerance
    has_base = "_" in first.text or "_" in second.text
    is_one_way = policy.rounding == "none" and not has_tolerance and not has_base
    return [pair] if is_one_way else [pair, (pair[1], pair[0])]
