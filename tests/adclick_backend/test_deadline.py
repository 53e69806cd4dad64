"""One deadline for everything that waits."""

from __future__ import annotations

import threading

import pytest

from adclick_backend import deadline
from adclick_backend.errors import BusyError
from adclick_backend.keyed_locks import KeyedLocks


def test_without_a_deadline_everybody_has_a_limit_of_their_own() -> None:
    assert deadline.remaining(60.0) == deadline.total(60.0) == 60.0


def test_a_block_inside_another_shares_its_beginning_and_ends_no_later() -> None:
    with deadline.within(90.0, waited=20.0):
        assert 69.0 < deadline.remaining(300.0) <= 70.0
        with deadline.within(30.0):
            assert 9.0 < deadline.remaining(300.0) <= 10.0
            with deadline.within(200.0):
                assert deadline.remaining(300.0) <= 10.0
            assert deadline.total(300.0) == pytest.approx(30.0)
        assert deadline.remaining(300.0) > 69.0
    assert deadline.remaining(300.0) == 300.0


def test_what_is_over_is_over() -> None:
    with deadline.within(1.0, waited=5.0):
        assert deadline.remaining(60.0) == 0.0


def test_other_threads_have_their_own_time() -> None:
    left: list[float] = []
    with deadline.within(1.0):
        thread = threading.Thread(target=lambda: left.append(deadline.remaining(60.0)))
        thread.start()
        thread.join()
    assert left == [60.0]


def test_a_lock_is_waited_for_until_the_deadline() -> None:
    """Reliability row 29: whoever holds it goes on."""
    locks = KeyedLocks()
    refused: list[BusyError] = []

    def wait() -> None:
        with deadline.within(0.05):
            try:
                with locks.hold("a"):
                    raise AssertionError("held twice")
            except BusyError as error:
                refused.append(error)

    with locks.hold("a"):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(5)
    assert "Another request was still fetching" in str(refused[0])
    assert locks._locks == {}
