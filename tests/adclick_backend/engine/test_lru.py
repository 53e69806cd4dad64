"""The cache in memory."""

from __future__ import annotations

from adclick_backend.engine.lru import WeightedLru


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache: WeightedLru[str, str] = WeightedLru(10)
    for name in "abc":
        cache.put(name, name, 4)
    assert [cache.get(n) for n in "abc"] == [None, "b", "c"]
    cache.put("d", "d", 50)
    assert [cache.get(n) for n in "bcd"] == [None, None, "d"]
