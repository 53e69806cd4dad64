"""A lock that a test takes away from who holds it, as a database does that goes away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from adclick_backend.store import DiskError
from adclick_backend.store.locks import Held


class LosableLocks:
    """One lock, which the test takes away; while it is `away` nobody can be asked for it."""

    def __init__(self) -> None:
        self.away = False
        self.holder: _Losable | None = None
        self._guard = threading.Lock()

    def try_hold(self, name: str) -> Held | None:
        if self.away:
            raise DiskError("The database is away.")
        with self._guard:
            if self.holder is not None:
                return None
            self.holder = _Losable(self)
            return self.holder

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        with self._guard:
            yield

    def close(self) -> None:
        """Nothing is open."""

    def take_away(self) -> None:
        with self._guard:
            self.holder = None


class _Losable:
    def __init__(self, locks: LosableLocks) -> None:
        self._locks = locks

    def lost(self) -> bool:
        return self._locks.holder is not self

    def release(self) -> None:
        if self._locks.holder is self:
            self._locks.holder = None
