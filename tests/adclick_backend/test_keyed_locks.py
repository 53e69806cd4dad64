"""Locks by key: see also the caches, whose tests let threads meet."""

from __future__ import annotations

from adclick_backend.keyed_locks import KeyedLocks


def test_locks_are_forgotten_when_nobody_needs_them() -> None:
    locks = KeyedLocks()
    with locks.hold("a"), locks.hold("b"):
        assert len(locks._locks) == 2
    assert locks._locks == {}
