"""What was computed last from texts, as much of it as fits into so many bytes."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Values by key, the least recently used given up first; for several threads.

    Args:
        size: all values together may be so large, bytes.
    """

    def __init__(self, size: int) -> None:
        self._limit = size
        self._total = 0
        self._kept: OrderedDict[Hashable, tuple[int, T]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> T | None:
        """What is kept under a key."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][1]

    def put(self, key: Hashable, value: T, size: int) -> None:
        """Keep a value of that many bytes, unless it alone is too large."""
        with self._lock:
            before, _ = self._kept.pop(key, (0, None))
            self._total -= before
            if size > self._limit:
                return
            self._kept[key] = (size, value)
            self._total += size
            while self._total > self._limit:
                _, (gone, _) = self._kept.popitem(last=False)
                self._total -= gone


def size_of(value: Any, known: set[int] | None = None) -> int:
    """Bytes that a value takes in memory with all that it holds: texts, numbers, collections, dataclasses.

    What it holds twice is counted once.
    """
    known = set() if known is None else known
    if id(value) in known:
        return 0
    known.add(id(value))
    size = sys.getsizeof(value)
    if isinstance(value, Mapping):
        return size + sum(size_of(one, known) for pair in value.items() for one in pair)
    if isinstance(value, (tuple, list, set, frozenset)):
        return size + sum(size_of(one, known) for one in value)
    if is_dataclass(value):
        return size + sum(size_of(getattr(value, field.name), known) for field in fields(value))
    return size
