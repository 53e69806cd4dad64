"""Locks by key: threads that want the same thing wait for each other, the others do not."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from adclick_backend import deadline
from adclick_backend.errors import BusyError


class KeyedLocks:
    """One lock for each key, kept only while somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[Hashable, tuple[threading.Lock, int]] = {}

    @contextmanager
    def hold(self, key: Hashable) -> Iterator[None]:
        """Wait until this thread is the only one with ``key``.

        Raises:
            BusyError: that took longer than this thread has.
        """
        with self._guard:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = lock, users + 1
        try:
            if not lock.acquire(timeout=deadline.remaining(threading.TIMEOUT_MAX)):
                raise BusyError(
                    "Another request was still fetching or preparing the same image when this one had no more time. "
                    "Click again; if that does not help, an earlier problem says which server does not answer."
                )
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._guard:
                users = self._locks[key][1] - 1
                if users:
                    self._locks[key] = lock, users
                else:
                    del self._locks[key]
