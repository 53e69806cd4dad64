"""How good binary masks are: IoU, and the number of clicks to reach one (NoC)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

MOST_CLICKS = 20
"""NoC of an image that never reaches its target."""


def iou(prediction: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks (H, W); 1 when both are empty."""
    union = int((prediction | target).sum())
    return int((prediction & target).sum()) / union if union else 1.0


def part_ious(parts: Sequence[NDArray[np.bool_]], target: NDArray[np.bool_]) -> list[float]:
    """How well each part of a prediction fits the defects that it touches; 0 for one that touches none.

    The IoU of the part with those connected places of the target that share a pixel with it, but for what the other
    parts cover: what they are there for is not held against it.

    Args:
        parts: masks (H, W), none of which shares a pixel with another.
        target: (H, W), every defect of the image.
    """
    _, found = cv2.connectedComponents(target.astype(np.uint8), connectivity=8)
    places = np.asarray(found, dtype=np.int64)
    covered = np.zeros(target.shape, bool)
    for part in parts:
        covered |= part
    fits = []
    for part in parts:
        touched = np.unique(places[part & target])
        own = np.isin(places, touched) & ~(covered & ~part)
        fits.append(iou(part, own) if len(touched) else 0.0)
    return fits


def clicks_to(ious: Sequence[float], target: float, most: int = MOST_CLICKS) -> int:
    """NoC: the number of the first click whose IoU reaches ``target``; ``most`` when none of them does."""
    return next((i for i, value in enumerate(ious[:most], 1) if value >= target), most)
