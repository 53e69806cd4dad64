"""Instance segmentations of COCO as masks: polygons, and run lengths in both forms that its files have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime import coco_rle

LARGEST = 1 << 15
"""Corners further out than this many pixels are no part of any picture of COCO, and OpenCV counts in 32 bits."""


def union(segmentations: Iterable[Any], height: int, width: int) -> NDArray[np.bool_]:
    """Where any of some instances is.

    Args:
        segmentations: as COCO's files have them: a list of polygons ``[x, y, x, y, ...]`` in pixels, or run lengths
            ``{"size": [height, width], "counts": ...}`` of a crowd.
        height: of the image, pixels.
        width: of the image, pixels.

    Returns:
        (height, width) bool; all False for no instance.

    Raises:
        ValueError: one is neither, or does not fit the image; the sentence says how.
    """
    mask = np.zeros((height, width), np.uint8)
    for segmentation in segmentations:
        if isinstance(segmentation, Mapping):
            mask |= coco_rle.decoded(segmentation, height, width)
        elif isinstance(segmentation, Sequence) and not isinstance(segmentation, str):
            for polygon in segmentation:
                cv2.fillPoly(mask, [_corners(polygon)], (1,))
        else:
            raise ValueError(
                f"A segmentation is a list of polygons or run lengths, not {segmentation!r:.60}."
            )
    return mask > 0


def _corners(polygon: Any) -> NDArray[np.int32]:
    """(N, 2) whole pixels: COCO-AD cuts the fractions off before it fills, and draws the border too."""
    try:
        corners = np.asarray(polygon, np.float64)
    except (TypeError, ValueError):
        corners = np.empty(0)
    if corners.ndim != 1 or corners.size < 6 or corners.size % 2:
        raise ValueError(f"A polygon is a list of at least three pairs x, y, not {polygon!r:.60}.")
    if not (np.abs(corners) < LARGEST).all():
        raise ValueError(f"A polygon has a corner {LARGEST} pixels or more outside: {polygon!r:.60}.")
    return corners.reshape(-1, 2).astype(np.int32)
