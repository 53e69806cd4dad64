"""From which probability on a place counts as a defect: one point a type, chosen by a person or left at 0.5."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from adclick_runtime.regions import Map

USUAL_POINT = 0.5
"""Where nobody chose one: the probabilities are calibrated, so a place counts that is more likely a defect than not."""

LOWEST_POINT, HIGHEST_POINT = 0.001, 0.999
"""Beyond these the maps, which are cut off a little further out, tell nothing apart."""


class PointError(ValueError):
    """An operating point that cannot be used; the message says which, and what one looks like."""


def checked_points(points: Mapping[str, Any]) -> dict[str, float]:
    """The operating points of defect types, as they may be used; those at `USUAL_POINT` are none.

    Args:
        points: defect type -> probability.

    Returns:
        Defect type -> probability in [`LOWEST_POINT`, `HIGHEST_POINT`], sorted by type.

    Raises:
        PointError: a point is no number, or outside of that.
    """
    found = {}
    for name, point in sorted(points.items()):
        number = isinstance(point, (int, float)) and not isinstance(point, bool) and math.isfinite(point)
        if not number or not LOWEST_POINT <= point <= HIGHEST_POINT:
            raise PointError(
                f"The threshold of {name[:60]!r} cannot be {str(point)[:40]!r}: give a probability from {LOWEST_POINT} "
                f"to {HIGHEST_POINT}; {USUAL_POINT} is the calibrated one."
            )
        if point != USUAL_POINT:
            found[name] = float(point)
    return found


def at_points(maps: Mapping[str, Map], points: Mapping[str, float]) -> dict[str, Map]:
    """Maps whose 0.5 lies where the operating points are, for `adclick_runtime.regions.propose`.

    The logits of a type are shifted by that of its point, ``logit(p') = logit(p) - logit(t)``, which is written
    without logarithms as ``p' = p (1 - t) / (p (1 - t) + (1 - p) t)``: 0 and 1 stay what they are, and ``p = t``
    becomes 0.5. The same shift for all images; nothing is normalised by one of them.

    Args:
        maps: defect type -> probability (h, w) float32 in [0, 1].
        points: defect type -> probability in (0, 1) from which on a place counts. Types that have no map are passed
            over.

    Returns:
        Defect type -> probability (h, w) float32 in [0, 1], in the order of ``maps``. A type without a point, or with
        one of 0.5, keeps its array.
    """
    return {name: shifted(found, points.get(name, USUAL_POINT)) for name, found in maps.items()}


def shifted(probability: Map, point: float) -> Map:
    """One map whose 0.5 lies at a point in (0, 1); the array itself for a point of 0.5. See :func:`at_points`."""
    if point == USUAL_POINT:
        return probability
    for_it, against = probability * np.float32(1 - point), (1 - probability) * np.float32(point)
    return np.asarray(for_it / (for_it + against), dtype=np.float32)
