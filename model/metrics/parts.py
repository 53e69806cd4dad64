"""How many parts of a mask were found: each found part belongs to one true part at most, and the other way round."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model.metrics.masks import iou

Mask = NDArray[np.bool_]


def parts_of(mask: Mask, smallest: int = 1) -> list[Mask]:
    """The 8-connected parts of a mask (H, W) of at least so many pixels, each (H, W) bool."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [labels == i for i in range(1, count) if statistics[i, cv2.CC_STAT_AREA] >= smallest]


def pairs(found: Sequence[Mask], true: Sequence[Mask], least: float) -> list[tuple[int, int]]:
    """Which found part is which true one, best overlap first: their numbers.

    Args:
        found: (H, W) bool each.
        true: the same size.
        least: IoU of a pair, in (0, 1].
    """
    overlaps = [(iou(a, b), i, j) for i, a in enumerate(found) for j, b in enumerate(true)]
    taken: list[tuple[int, int]] = []
    for overlap, i, j in sorted(overlaps, key=lambda each: -each[0]):  # stable
        if overlap >= least and all(i != a and j != b for a, b in taken):
            taken.append((i, j))
    return taken
