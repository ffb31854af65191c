"""A result is given once to whoever waits for it, alone or among many."""

from concurrent.futures import CancelledError, Future, wait

import pytest

from evalharness.checking.waiting import (
    Gathering,
    Place,
    drop,
    gathered,
    pass_on,
    settle,
    settle_error,
)


def test_results_that_are_waited_for_together_come_in_order() -> None:
    gathering = Gathering[str](3)
    for index in (2, 0):
        settle(Place(gathering, index), f"r{index}")
    assert not gathering.future.done()
    settle(Place(gathering, 1), "r1")
    assert gathering.future.result(timeout=0) == ["r0", "r1", "r2"]


def test_nothing_to_wait_for_is_done() -> None:
    assert Gathering[str](0).future.result(timeout=0) == []
    assert gathered([]).result(timeout=0) == []


def test_the_first_failure_ends_the_waiting_and_later_results_are_ignored() -> None:
    gathering = Gathering[str](3)
    settle_error(Place(gathering, 1), ValueError("no worker"))
    settle_error(Place(gathering, 2), ValueError("another"))
    for index in range(3):
        settle(Place(gathering, index), "late")
    with pytest.raises(ValueError, match="no worker"):
        gathering.future.result(timeout=0)


def test_a_dropped_waiter_is_cancelled_and_done(caplog: pytest.LogCaptureFixture) -> None:
    gathering, alone = Gathering[str](2), Future[str]()
    for waiter in (Place(gathering, 0), Place(gathering, 1), alone):
        drop(waiter)
        settle(waiter, "late")
        settle_error(waiter, ValueError("late"))
    futures = [gathering.future, alone]
    assert wait(futures, timeout=0).done == set(futures)
    assert all(future.cancelled() for future in futures)
    # The library logs a future that is told twice.
    assert not caplog.records


def test_a_finished_future_keeps_its_result() -> None:
    future = Future[str]()
    settle(future, "first")
    settle(future, "second")
    settle_error(future, ValueError("third"))
    drop(future)
    assert future.result(timeout=0) == "first"


def test_several_futures_are_gathered_into_one() -> None:
    futures = [Future[str]() for _ in range(2)]
    together = gathered(futures)
    futures[1].set_result("b")
    futures[0].set_result("a")
    assert together.result(timeout=0) == ["a", "b"]


def test_a_future_is_passed_on_as_it_ended() -> None:
    ended = [Future[str]() for _ in range(3)]
    ended[0].set_result("a")
    ended[1].set_exception(ValueError("b"))
    ended[2].cancel()
    waiting = [Future[str]() for _ in range(3)]
    for done, waiter in zip(ended, waiting, strict=True):
        pass_on(done, waiter)
    assert waiting[0].result(timeout=0) == "a"
    with pytest.raises(ValueError, match="b"):
        waiting[1].result(timeout=0)
    with pytest.raises(CancelledError):
        waiting[2].result(timeout=0)
