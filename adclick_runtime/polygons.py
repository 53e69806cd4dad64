"""Masks as polygons, holes and all, and back.

A polygon runs through the middles of a part's border pixels, which belong to the part, and is given by their numbers.
Formats of one outline a part have no holes; here a slit that is walked twice leads from the outline to each of them
and back. Filled by the even-odd rule and with its border, as OpenCV does it, such a polygon is the part to the pixel.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.int32]


def polygons_of(mask: NDArray[np.bool_]) -> list[Polygon]:
    """The connected parts of a mask, diagonals included, from the top to the bottom.

    Args:
        mask: (H, W) bool.

    Returns:
        (N, 2) int32 each, x and y of pixels; N is 1 or 2 for a part that has no more pixels or lies on one line.
    """
    padded = np.pad(mask.astype(np.uint8), 1)  # OpenCV sees no border at the rim of an image
    found, tree = cv2.findContours(padded, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(-1, -1))
    if not found:
        return []
    outlines = [np.asarray(outline, np.int32).reshape(-1, 2) for outline in found]
    parents = [int(parent) for parent in np.asarray(tree)[0, :, 3]]
    holes: dict[int, list[int]] = {number: [] for number, parent in enumerate(parents) if parent < 0}
    for number, parent in enumerate(parents):
        if parent >= 0:
            holes[parent].append(number)
    parts = [
        _bridged(outlines[number], [outlines[hole] for hole in inside]) for number, inside in holes.items()
    ]
    return sorted(map(_corners, parts), key=lambda part: (int(part[0, 1]), int(part[0, 0])))


def mask_of(polygons: Iterable[Polygon], height: int, width: int) -> NDArray[np.bool_]:
    """(height, width) bool: the inside of any of some polygons (N, 2) of whole pixels x, y, their borders included."""
    mask = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.asarray(polygon, np.int32)], (1,))
    return mask > 0


def _bridged(outline: Polygon, holes: list[Polygon]) -> Polygon:
    """One ring through the outline of a part and those of its holes.

    From the leftmost pixel of a hole's border the slit leads to the left, through pixels of the part, to the first one
    that lies on another border. That one reaches further left, so every slit leads to a ring that is connected already.
    """
    if not holes:
        return outline
    left, top = outline.min(axis=0)
    width, height = outline.max(axis=0) - (left, top) + 1
    owner = np.full((height, width), -1, np.int32)  # the ring through a pixel
    place = np.zeros((height, width), np.int32)  # and which of its points the pixel is
    rings = [outline, *(np.roll(hole, -hole[:, 0].argmin(), axis=0) for hole in holes)]
    rings[1:] = sorted(rings[1:], key=lambda ring: (int(ring[0, 0]), int(ring[0, 1])))
    slits: list[list[tuple[int, int]]] = [[] for _ in rings]  # of a ring: from which point, to which ring
    for number, ring in enumerate(rings):
        x, y = (ring - (left, top)).T
        if number:
            at = int(np.flatnonzero(owner[y[0], : x[0] + 1] >= 0)[-1])
            slits[owner[y[0], at]].append((int(place[y[0], at]), number))
        owner[y, x], place[y, x] = number, np.arange(len(ring))
    return _walked([np.concatenate((ring, ring[:1])) for ring in rings], [sorted(each) for each in slits])


def _walked(rings: list[Polygon], slits: list[list[tuple[int, int]]]) -> Polygon:
    """The first of some closed rings, with every other one walked round where the slit to it begins."""
    walked: list[Polygon] = []
    waiting = [(0, 0, 0)]  # a ring, its next slit, and the point from which on it is left to walk
    while waiting:
        number, slit, begin = waiting.pop()
        if slit == len(slits[number]):
            walked.append(rings[number][begin:])
            continue
        stop, hole = slits[number][slit]
        walked.append(rings[number][begin : stop + 1])
        waiting += [(number, slit + 1, stop), (hole, 0, 0)]
    return np.concatenate(walked)


def _corners(ring: Polygon) -> Polygon:
    """The same ring without the points at which it stands still or goes straight on; at least one point stays."""
    moved = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    if not len(moved):
        return ring[:1]
    came, goes = np.sign(moved - np.roll(moved, 1, axis=0)), np.sign(np.roll(moved, -1, axis=0) - moved)
    return np.asarray(moved[(came != goes).any(axis=1)])
