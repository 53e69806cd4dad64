"""Times and numbers as people say them."""

from __future__ import annotations

import time


def ago(moment: float) -> str:
    """A past Unix time in words, as precise as a person wants it."""
    seconds = max(0, int(time.time() - moment))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{count(seconds // size, unit)} ago"
    return "just now"


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 label``, ``2 labels``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def images(number: int) -> str:
    """A number of images as the beginning of what was done to them: ``1 image was``, ``2 images were``."""
    return f"{count(number, 'image')} {'was' if number == 1 else 'were'}"


def duration(seconds: float) -> str:
    """A length of time in words: ``less than a minute``, ``12 minutes``, ``1 hour 5 minutes``."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 60:
        return count(minutes, "minute")
    hours, rest = divmod(minutes, 60)
    return count(hours, "hour") + (f" {count(rest, 'minute')}" if rest else "")


def percent(share: float | None) -> str:
    """A share as ``87.3 %``; a dash when there is none."""
    return "–" if share is None else f"{_tenths(100 * share):.1f} %"


def change(difference: float | None) -> str:
    """The difference of two shares as ``+1.2`` percentage points, ``0.0`` for none; a dash when nobody knows."""
    if difference is None:
        return "–"
    points = _tenths(100 * difference)
    return f"{points:+.1f}" if points else "0.0"


def _tenths(number: float) -> float:
    """A number rounded to one decimal, and never ``-0.0``."""
    return round(number, 1) + 0.0
