"""Instance segmentations of COCO as masks: polygons, and run lengths in both forms that its files have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

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
            mask |= run_lengths(segmentation, height, width)
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


def run_lengths(segmentation: Mapping[str, Any], height: int, width: int) -> NDArray[np.uint8]:
    """(height, width) of 0 and 1 from run lengths: of 0 and 1 in turn, column after column.

    Raises:
        ValueError: they are damaged, or of another size.
    """
    if list(segmentation.get("size", ())) != [height, width]:
        raise ValueError(
            f"Run lengths of the size {segmentation.get('size')!r} do not fit an image of {height} x {width} pixels."
        )
    counts = segmentation.get("counts")
    lengths = unpacked(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(isinstance(n, int) and n >= 0 for n in lengths):
        raise ValueError(f"Run lengths are whole numbers from 0 on, not {counts!r:.60}.")
    if sum(lengths) != height * width:
        raise ValueError(
            f"Run lengths of {sum(lengths)} pixels in all do not fill {height} x {width} pixels."
        )
    values = np.arange(len(lengths)) % 2
    return np.repeat(values, lengths).astype(np.uint8).reshape(width, height).T


def unpacked(text: str) -> list[int]:
    """The run lengths that COCO's compressed form holds.

    Five bits a character, the lowest first, from ``chr(48)`` on; 32 says that more follow, 16 in the last one that the
    number is negative. From the fourth number on each is the difference to the one before the last.

    Raises:
        ValueError: it ends within a number, or has other characters.
    """
    numbers: list[int] = []
    number = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError(f"Compressed run lengths have no {character!r}.")
        number |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                number -= 1 << shift
            numbers.append(number + (numbers[-2] if len(numbers) > 2 else 0))
            number = shift = 0
    if shift:
        raise ValueError("Compressed run lengths end within a number.")
    return numbers
