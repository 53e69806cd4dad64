"""Moments by the wall clock, which may be set back or forward while they are kept.

How long something lasts is measured by `time.monotonic`, which no setting of the clock and no sleep of the machine
touches. What is kept in the database across a restart is a moment by the wall clock; one that lies in the future was
written before the clock was set back, and nobody waits for it.
"""

from __future__ import annotations

import time


def is_within(moment: float, seconds: float, now: float | None = None) -> bool:
    """Whether something was at most so many seconds ago; a moment in the future says nothing, so it was not."""
    age = (time.time() if now is None else now) - moment
    return 0 <= age <= seconds


def has_come(moment: float, farthest_s: float, now: float | None = None) -> bool:
    """Whether what was planned for a moment is due; nothing is planned farther ahead than `farthest_s` seconds."""
    now = time.time() if now is None else now
    return moment <= now or moment > now + farthest_s
