"""How many images are looked at at a time, and how many may wait; what is more is told to come again."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from adclick_runtime.errors import ApiError

WAITING = 16
"""Images that may wait for those that are being looked at."""

PATIENCE_S = 60.0
"""So long each of them waits."""


class LaterError(ApiError):
    """A request that may be sent again after some seconds.

    Args:
        seconds: whole ones.
    """

    def __init__(self, status: int, code: str, message: str, seconds: int) -> None:
        super().__init__(status, code, message)
        self.seconds = seconds


class Admission:
    """Places for requests, and turns for those that have one. Safe to share between threads.

    Args:
        at_a_time: images.
        most_bytes: of all files that are being received or wait; one file alone may have more.
    """

    def __init__(self, at_a_time: int, most_bytes: int) -> None:
        self._at_a_time, self._most_bytes = at_a_time, most_bytes
        self._lock = threading.Lock()
        self._turns = threading.Semaphore(at_a_time)
        self._placed = self._bytes = 0
        self._seconds = 1.0  # that an image takes, roughly

    @property
    def placed(self) -> int:
        """Requests that have a place."""
        return self._placed

    @contextmanager
    def place(self, size: int) -> Iterator[None]:
        """A place for a file of so many bytes; raises LaterError when there is none."""
        with self._lock:
            if self._placed >= self._at_a_time + WAITING or (
                self._placed and self._bytes + size > self._most_bytes
            ):
                raise self._later()
            self._placed += 1
            self._bytes += size
        try:
            yield
        finally:
            with self._lock:
                self._placed -= 1
                self._bytes -= size

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The time in which an image is looked at; raises LaterError when it does not come."""
        if not self._turns.acquire(timeout=PATIENCE_S):
            raise self._later()
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds += 0.2 * (time.monotonic() - started - self._seconds)
            self._turns.release()

    def _later(self) -> LaterError:
        seconds = max(1, math.ceil(self._placed * self._seconds / self._at_a_time))
        return LaterError(
            503,
            "busy",
            f"{self._placed} images are being looked at or wait; send this one again in {seconds} s.",
            seconds,
        )
