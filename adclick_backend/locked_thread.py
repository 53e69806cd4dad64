"""A background thread that one of several processes runs: the one that holds a lock."""

from __future__ import annotations

import logging
import os
import threading
from abc import ABC, abstractmethod

from adclick_backend.store import DiskError
from adclick_backend.store.locks import Held, Locks

log = logging.getLogger(__name__)


class LockedThread(ABC):
    """Works in a thread of its own while this process holds the lock; the others are ready to take over.

    A lock that is lost, as when the database that keeps it went away, is queued for again.

    Args:
        name: of the thread.
        locks: where the lock is.
        lock: its name.
        poll_s: seconds between looks for the lock, and for work that another process wrote down.
    """

    def __init__(self, name: str, locks: Locks, lock: str, poll_s: float) -> None:
        self._name = name
        self._locks = locks
        self._lock = lock
        self._poll_s = poll_s
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def start(self) -> None:
        """Start the thread, once in each process."""
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Finish the work at hand and end the thread."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join(timeout_s)

    @abstractmethod
    def _begin(self) -> None:
        """Called when the lock is held, before anything else."""

    @abstractmethod
    def _turn(self) -> bool:
        """Do what there is to do; True to be called again at once, False to be woken or called after `poll_s`."""

    @abstractmethod
    def _end(self, *, lost: bool) -> None:
        """Called before the lock is given back, or when it was lost and another process may hold it."""

    def _run(self) -> None:
        while (held := self._queue()) is not None:
            try:
                self._work(held)
            finally:
                held.release()

    def _work(self, held: Held) -> None:
        self._begin()
        while not self._stopping.is_set():
            if held.lost():
                log.warning(
                    "The lock %s was lost, as what keeps it went away; it is queued for again.", self._lock
                )
                self._end(lost=True)
                return
            self._wake.clear()
            if not self._turn():
                self._wake.wait(self._poll_s)
        self._end(lost=False)

    def _queue(self) -> Held | None:
        """The lock, as soon as it can be had; None: stop."""
        said = ""
        while not self._stopping.is_set():
            wait = self._poll_s
            try:
                if (held := self._locks.try_hold(self._lock)) is not None:
                    return held
            except (OSError, DiskError) as error:  # a read-only disk say, or no database
                if said != (said := str(error)):
                    log.warning("The lock %s cannot be asked for (%s); it is tried again.", self._lock, error)
                wait = max(wait, 5.0)
            self._stopping.wait(wait)
        return None
