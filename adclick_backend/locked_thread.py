"""A background thread that one of several processes runs: the one that holds a lock file."""

from __future__ import annotations

import logging
import os
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO

from adclick_backend.lock_file import try_lock

log = logging.getLogger(__name__)


class LockedThread(ABC):
    """Works in a thread of its own while this process holds the lock; the others are ready to take over.

    Args:
        name: of the thread.
        lock: path of the lock file.
        poll_s: seconds between looks for the lock, and for work that another process wrote down.
    """

    def __init__(self, name: str, lock: Path, poll_s: float) -> None:
        self._name = name
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
        """Called once, when the lock is held."""

    @abstractmethod
    def _turn(self) -> bool:
        """Do what there is to do; True to be called again at once, False to be woken or called after `poll_s`."""

    @abstractmethod
    def _end(self) -> None:
        """Called once, before the lock is given back."""

    def _run(self) -> None:
        file = self._open()
        if file is None:
            return
        with file:
            while not self._stopping.is_set() and not try_lock(file):
                self._stopping.wait(self._poll_s)
            if self._stopping.is_set():
                return
            self._begin()
            while not self._stopping.is_set():
                self._wake.clear()
                if not self._turn():
                    self._wake.wait(self._poll_s)
            self._end()

    def _open(self) -> IO[str] | None:
        """The lock file, as soon as it can be opened, which a read-only disk does not allow; None: stop."""
        while not self._stopping.is_set():
            try:
                self._lock.parent.mkdir(parents=True, exist_ok=True)
                return self._lock.open("a")
            except OSError as error:
                log.warning("%s cannot be opened (%s); it is tried again.", self._lock, error)
                self._stopping.wait(max(self._poll_s, 5.0))
        return None
