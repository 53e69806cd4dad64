"""A thread that one of several processes runs, and whose lock may be lost."""

from __future__ import annotations

import pytest

from adclick_backend.locked_thread import LockedThread
from tests.helpers.losable_locks import LosableLocks
from tests.helpers.references import wait_for


class Worker(LockedThread):
    def __init__(self, locks: LosableLocks) -> None:
        super().__init__("worker", locks, "work", 0.01)
        self.heard: list[str] = []
        self.turns = 0

    def _begin(self) -> None:
        self.heard.append("begin")

    def _turn(self) -> bool:
        self.turns += 1
        return False

    def _end(self, *, lost: bool) -> None:
        self.heard.append("lost" if lost else "end")


def test_a_lock_that_is_lost_is_queued_for_again() -> None:
    locks = LosableLocks()
    first, second = Worker(locks), Worker(locks)
    first.start()
    assert wait_for(lambda: first.turns > 0)
    second.start()
    locks.take_away()
    assert wait_for(lambda: second.turns > 0 or "lost" in first.heard)
    assert wait_for(lambda: first.heard[:2] == ["begin", "lost"])
    assert wait_for(
        lambda: len(first.heard) + len(second.heard) == 3
    )  # one of the two has it again, not both
    for worker in sorted(
        (first, second), key=lambda worker: worker.heard[-1:] == ["begin"]
    ):  # its holder last
        worker.stop()
    assert sorted(first.heard + second.heard) == ["begin", "begin", "end", "lost"]


def test_who_cannot_be_asked_for_a_lock_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    locks = LosableLocks()
    locks.away = True
    worker = Worker(locks)
    waits: list[float] = []
    monkeypatch.setattr(worker._stopping, "wait", lambda seconds: waits.append(seconds) or len(waits) > 1)

    def come_back() -> bool:
        locks.away = len(waits) < 2
        return bool(worker.turns)

    worker.start()
    assert wait_for(come_back)
    worker.stop()
    assert "The lock work cannot be asked for (The database is away.); it is tried again." in caplog.text
    assert min(waits) >= 5.0
    assert worker.heard == ["begin", "end"]
