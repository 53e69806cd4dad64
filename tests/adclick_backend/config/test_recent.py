"""What was computed last, within bounds."""

from __future__ import annotations

from adclick_backend.config.recent import Recent


def test_the_least_recently_used_gives_way() -> None:
    recent: Recent[str] = Recent(10)
    recent.put("a", "A", 4)
    recent.put("b", "B", 4)
    assert recent.get("a") == "A"
    recent.put("c", "C", 4)
    assert [recent.get(key) for key in "abc"] == ["A", None, "C"]


def test_what_is_too_large_is_not_kept_and_drives_nothing_out() -> None:
    recent: Recent[str] = Recent(10)
    recent.put("a", "A", 10)
    recent.put("b", "B", 11)
    assert (recent.get("a"), recent.get("b")) == ("A", None)


def test_a_value_that_is_put_again_counts_once() -> None:
    recent: Recent[str] = Recent(10)
    for _ in range(5):
        recent.put("a", "A", 4)
    recent.put("b", "B", 6)
    assert (recent.get("a"), recent.get("b")) == ("A", "B")
