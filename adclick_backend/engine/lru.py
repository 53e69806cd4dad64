"""A cache in memory that is counted in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from adclick_backend.keyed_locks import KeyedLocks

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class WeightedLru(Generic[K, V]):
    """A thread-safe cache that forgets what was used longest ago when it holds too many bytes."""

    def __init__(self, capacity: int):
        self._capacity, self._held = capacity, 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._flights = KeyedLocks()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value, or None."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Keep a value of ``weight`` bytes; the newest one is kept whatever it weighs."""
        with self._lock:
            if key in self._entries:
                self._held -= self._entries.pop(key)[1]
            self._entries[key] = (value, weight)
            self._held += weight
            while self._held > self._capacity and len(self._entries) > 1:
                self._held -= self._entries.popitem(last=False)[1][1]

    def flight(self, key: K) -> AbstractContextManager[None]:
        """Let one thread at a time work out the value of ``key``; the others wait and then find it."""
        return self._flights.hold(key)
