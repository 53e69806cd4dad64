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
