"""The queue behind opened tasks."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from adclick_backend.engine.prewarm import Prewarmer
from tests.helpers.backend import Backend, task


@pytest.fixture
def prewarmer() -> Iterator[Prewarmer]:
    made = Prewarmer(threads=1, capacity=3)
    yield made
    made.stop()


def block(prewarmer: Prewarmer) -> threading.Event:
    """Keep the only thread busy until the event is set."""
    free, busy = threading.Event(), threading.Event()

    def wait() -> None:
        busy.set()
        free.wait(10)

    prewarmer.submit("block", wait)
    assert busy.wait(5)
    return free


def test_the_newest_is_done_first_and_the_oldest_dropped(prewarmer: Prewarmer) -> None:
    done: list[int] = []
    free = block(prewarmer)
    for number in range(5):
        prewarmer.submit(number, lambda number=number: done.append(number))  # type: ignore[misc]
    free.set()
    assert prewarmer.join(5)
    assert done == [4, 3, 2]


def test_what_is_not_urgent_is_done_last_and_dropped_first(prewarmer: Prewarmer) -> None:
    done: list[str] = []
    free = block(prewarmer)
    prewarmer.submit("dropped", lambda: done.append("dropped"))
    prewarmer.submit("later", lambda: done.append("later"), soon=False)
    for name in ("a", "b"):
        prewarmer.submit(name, lambda name=name: done.append(name))  # type: ignore[misc]
    free.set()
    assert prewarmer.join(5)
    assert done == ["b", "a", "dropped"]


def test_what_waits_or_runs_is_not_done_twice(prewarmer: Prewarmer) -> None:
    done: list[str] = []
    free = block(prewarmer)
    prewarmer.submit("block", lambda: done.append("running"))
    for name in ("a", "b", "a"):
        prewarmer.submit(name, lambda name=name: done.append(name))  # type: ignore[misc]
    free.set()
    assert prewarmer.join(5)
    assert done == ["a", "b"]


def test_a_job_that_fails_stops_nothing(prewarmer: Prewarmer) -> None:
    done: list[str] = []
    prewarmer.submit("bad", lambda: 1 / 0)
    prewarmer.submit("good", lambda: done.append("good"))
    assert prewarmer.join(5)
    assert done == ["good"]


def test_how_many_wait_is_told() -> None:
    told: list[int] = []
    prewarmer = Prewarmer(threads=1, capacity=2, on_change=told.append)
    free = block(prewarmer)
    prewarmer.submit("a", lambda: None)
    prewarmer.submit("b", lambda: None)
    free.set()
    assert prewarmer.join(5)
    prewarmer.stop()
    assert told == [1, 0, 1, 2, 1, 0]


def test_nothing_is_done_after_the_end(prewarmer: Prewarmer) -> None:
    done: list[str] = []
    free = block(prewarmer)
    prewarmer.submit("waiting", lambda: done.append("waiting"))
    free.set()
    prewarmer.stop()
    prewarmer.submit("late", lambda: done.append("late"))
    assert prewarmer.join(5)
    assert "late" not in done


def test_one_host_gets_half_of_the_threads() -> None:
    """Reliability row 29: what waits for it does not wait in front of the others."""
    prewarmer = Prewarmer(threads=4)
    free, done = threading.Event(), threading.Event()
    hanging = threading.Semaphore(0)

    def hang() -> None:
        hanging.release()
        free.wait(10)

    for number in range(6):
        prewarmer.submit(number, hang, host="http://hangs")
    assert hanging.acquire(timeout=5)
    assert hanging.acquire(timeout=5)
    prewarmer.submit("other", done.set, soon=False, host="http://other")
    assert done.wait(5)
    assert not hanging.acquire(timeout=0.05)  # the third of them waits
    free.set()
    assert prewarmer.join(5)
    prewarmer.stop()


def test_threads_start_anew_after_a_fork(prewarmer: Prewarmer) -> None:
    prewarmer.submit("parent", lambda: None)
    assert prewarmer.join(5)
    child = os.fork()
    if child == 0:
        done = threading.Event()
        prewarmer.submit("child", done.set)
        os._exit(0 if done.wait(5) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_page_full_of_tasks_does_not_fill_the_queue(backend: Backend) -> None:
    image = backend.draw("a.png")
    backend.engine.hold.clear()
    backend.open_tasks([task(image, number) for number in range(253)])
    backend.open_tasks([task(image, 999)])
    assert len(backend.services.prewarmer._waiting) <= backend.services.prewarmer.capacity
    backend.engine.hold.set()
    assert backend.services.prewarmer.join(10)
    assert len(backend.engine.prepared) <= backend.services.prewarmer.capacity + 3
