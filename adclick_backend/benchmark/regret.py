"""Regret: how many clicks made a mask worse, and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from adclick_backend.benchmark.rows import Row

FALLS = (5, 15)
"""Points of IoU: a click that costs more than the first of them is one to regret."""


class Regret(NamedTuple):
    """What clicks cost that made the mask worse.

    Attributes:
        clicks: those that were made at a mask: the second of an image to its last.
        worse: share of them, in percent, after which the IoU was lower by more than 5 points.
        much_worse: the same, by more than 15 points.
        fall: by how many points it was lower on average when it was by more than 5; NaN when it never was.
    """

    clicks: int
    worse: float
    much_worse: float
    fall: float

    @property
    def figures(self) -> list[float]:
        """In the order of ``REGRET_HEADS``."""
        return [self.worse, self.much_worse, self.fall]


REGRET_HEADS = [*(f"fell by over {points}" for points in FALLS), "fall"]


def regret(rows: Iterable[Row]) -> Regret:
    """The regret of all clicks of some images; shares are NaN where no image was clicked twice."""
    falls = [fall for row in rows for fall in _falls(row)]
    if not falls:
        return Regret(0, math.nan, math.nan, math.nan)
    regretted = [fall for fall in falls if fall > FALLS[0]]
    worse, much_worse = (100 * sum(fall > points for fall in falls) / len(falls) for points in FALLS)
    return Regret(len(falls), worse, much_worse, sum(regretted) / len(regretted) if regretted else math.nan)


def _falls(row: Row) -> Iterator[float]:
    """By how many points of IoU each click from the second on made the mask worse; below 0: better.

    A mask that is right is not clicked again, its row goes on all the same.
    """
    for before, after in zip(row.ious, row.ious[1:], strict=False):
        if before >= 1:
            return
        yield round(100 * (before - after), 2)
