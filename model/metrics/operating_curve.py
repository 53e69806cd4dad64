"""What a map shows of an image at every point at which it may be cut: the defects found, and whether it is marked.

Everything is seen as `adclick_runtime.regions.propose` would mark it, in the working frame: specks and noise are gone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from adclick_runtime.operating_points import HIGHEST_POINT, shifted
from adclick_runtime.regions import JOINED, Map, propose
from model.metrics.masks import iou

_STEP = math.log(HIGHEST_POINT / (1 - HIGHEST_POINT)) / 12

POINTS = tuple(round(1 / (1 + math.exp(-_STEP * number)), 4) for number in range(-12, 13))
"""Points at which curves are drawn: evenly over the log-odds, the calibrated 0.5 in the middle."""

FOUND = 0.1
"""Share of its pixels from which on a labelled defect counts as found: a mask on it shows a person where to look."""

CERTAIN = 1.96
"""Standard deviations within which 95 % of a normal distribution lie."""


@dataclass(frozen=True)
class Seen:
    """What one map shows of one image, at each of some points.

    Attributes:
        defects: labelled in the image, those no further apart than `JOINED` working pixels being one.
        found: how many of them are found, at each point.
        overlap: IoU of all that is marked with all that is labelled, in [0, 1], at each point; 0 without a defect.
        marked: whether anything is marked, at each point.
    """

    defects: int
    found: tuple[int, ...]
    overlap: tuple[float, ...]
    marked: tuple[bool, ...]


def seen_at(
    probability: Map, truth: NDArray[np.bool_] | None = None, points: Sequence[float] = POINTS
) -> Seen:
    """What a map shows of an image.

    Args:
        probability: (h, w) float32 in [0, 1], calibrated, in the working frame.
        truth: (h, w) bool, the labelled defects; None for a good image.
        points: probabilities in (0, 1).
    """
    groups = np.zeros(probability.shape, np.int32) if truth is None else defects_in(truth)
    whole = np.bincount(groups.ravel())
    found, overlap, marked = [], [], []
    for point in points:
        mask = marked_at(probability, point)
        covered = np.bincount(groups[mask], minlength=len(whole))
        found.append(int((covered[1:] >= FOUND * whole[1:]).sum()))
        overlap.append(0.0 if truth is None else iou(mask, truth))
        marked.append(bool(mask.any()))
    return Seen(len(whole) - 1, tuple(found), tuple(overlap), tuple(marked))


def marked_at(probability: Map, point: float) -> NDArray[np.bool_]:
    """What is marked (h, w) bool where a map (h, w) float32 in [0, 1] of a working frame is cut at a point."""
    mask = np.zeros(probability.shape, bool)
    if probability.max() > point:  # else nothing is, and that is quickly said
        height, width = probability.shape
        frame = Frame(height, width, height, width)
        for region in propose({"": shifted(probability, point)}, frame)[0]:
            mask |= region.mask
    return mask


def defects_in(truth: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The number of the labelled defect at each place (h, w), from 1 on; 0 where there is none."""
    side = JOINED + 1
    near = cv2.dilate(truth.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return np.asarray(np.where(truth, cv2.connectedComponents(near, connectivity=8)[1], 0), np.int32)


def likely_share(count: int, of: int) -> tuple[float, float]:
    """Between which shares the true one lies with 95 % certainty where ``count`` of ``of`` were seen.

    The score interval of Wilson (1927), Eq. 4 of Brown, Cai and DasGupta (2001), "Interval estimation for a binomial
    proportion". (0, 1) where nothing was seen.
    """
    if not of:
        return 0.0, 1.0
    share, square = count / of, CERTAIN**2
    middle = (share + square / (2 * of)) / (1 + square / of)
    reach = CERTAIN / (1 + square / of) * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    return max(middle - reach, 0.0) if count else 0.0, min(middle + reach, 1.0) if count < of else 1.0
