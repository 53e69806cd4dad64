"""Maps of one size to another, each as a product with two small matrices, with the weights that torch has.

All but `aligned` let areas of places map onto areas of places: the centre of place i lies at i + 0.5.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

CUBIC = -0.75
"""The parameter of the cubic convolution (Keys 1981, equation 4) that torch and OpenCV use."""


def resized(maps: NDArray[np.float32], rows: Matrix, columns: Matrix) -> NDArray[np.float32]:
    """Maps (C, h, w) -> (C, H, W), by the matrices (H, h) and (W, w)."""
    return np.asarray(rows @ (maps @ columns.T), np.float32)


@lru_cache(32)
def antialiased(before: int, after: int) -> Matrix:
    """Linear interpolation over as wide a part as a place becomes, ``antialias=True`` of torch: (after, before)."""
    scale = before / after
    support, found = max(scale, 1.0), np.zeros((after, before))
    for place in range(after):
        centre = scale * (place + 0.5)
        first, last = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), before)
        weights = np.maximum(1 - np.abs((np.arange(first, last) - centre + 0.5) / support), 0)
        found[place, first:last] = weights / weights.sum()
    return _kept(found)


@lru_cache(32)
def cubic(before: int, after: int) -> Matrix:
    """Cubic interpolation of the four nearest places, without smoothing: (after, before)."""
    found = np.zeros((after, before))
    for place in range(after):
        at = before / after * (place + 0.5) - 0.5
        for near in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
            found[place, min(max(near, 0), before - 1)] += _cubic(abs(at - near))
    return _kept(found)


@lru_cache(32)
def linear(before: int, after: int) -> Matrix:
    """Linear interpolation of the two nearest places: (after, before)."""
    at = np.clip(before / after * (np.arange(after) + 0.5) - 0.5, 0, before - 1)
    return _between(at, before)


@lru_cache(32)
def aligned(before: int, after: int) -> Matrix:
    """Linear interpolation, the middles of the first and last places on those of the others: (after, before)."""
    return _between(np.linspace(0, before - 1, after), before)


@lru_cache(32)
def pooled(before: int, after: int) -> Matrix:
    """Means of neighbouring places, as adaptive pooling takes them: (after, before)."""
    found = np.zeros((after, before))
    for place in range(after):
        first, last = place * before // after, -(-(place + 1) * before // after)
        found[place, first:last] = 1 / (last - first)
    return _kept(found)


def _between(at: NDArray[np.float64], before: int) -> Matrix:
    found, rows = np.zeros((len(at), before)), np.arange(len(at))
    low = np.minimum(at.astype(int), before - 1)
    high = np.minimum(low + 1, before - 1)
    np.add.at(found, (rows, low), 1 - (at - low))
    np.add.at(found, (rows, high), at - low)
    return _kept(found)


def _cubic(distance: float) -> float:
    if distance < 1:
        return ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    if distance < 2:
        return CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return 0.0


def _kept(found: NDArray[np.float64]) -> Matrix:
    matrix = found.astype(np.float32)
    matrix.flags.writeable = False  # it is handed out again
    return matrix
