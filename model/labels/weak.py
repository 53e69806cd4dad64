"""From ADClick's probability maps to labels that may be trusted (Eq. 8 and 9 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model.clicks import Click


def strengthen(
    probability: NDArray[np.float32], clicks: Sequence[Click], radius: float
) -> NDArray[np.float32]:
    """P' of Eq. 8: near a click, the map says what the click said.

    Where discs of both signs overlap, the newest click wins: a person clicks to correct.

    Args:
        probability: (H, W) float32 in [0, 1], the map that was accepted.
        clicks: that led to it, in pixels of the map, oldest first.
        radius: ρ, in pixels of the map, >= 0; the clicked pixel itself always counts.

    Returns:
        A new map (H, W) float32 in [0, 1].
    """
    height, width = probability.shape
    strengthened = np.array(probability, np.float32)
    for click in clicks:
        if not (0 <= click.x < width and 0 <= click.y < height):
            raise ValueError(
                f"The click ({click.x:g}, {click.y:g}) lies outside its map of {width} x {height} pixels."
            )
        disc = np.zeros((height, width), np.uint8)
        cv2.circle(disc, (int(click.x), int(click.y)), int(radius), 1, -1)
        strengthened[disc > 0] = 1.0 if click.positive else 0.0
    return strengthened


def three_valued(
    target: NDArray[np.float32], certain: NDArray[np.bool_], epsilon: float
) -> NDArray[np.float32]:
    """Y of Eq. 9: defect, normal, or abandoned because the map is undecided.

    Args:
        target: (...) P' in [0, 1].
        certain: (...) bool: pixels that a person set by hand; never abandoned.
        epsilon: half the width of the band round 0.5 that is abandoned, in [0, 0.5]; drawn anew at each step.

    Returns:
        (...) float32 in {0, 1, -1}; -1 (:data:`model.training.losses.IGNORE`) carries no loss.
    """
    if not 0 <= epsilon <= 0.5:
        raise ValueError(f"The abandon band has the half width {epsilon:g}; it must lie in [0, 0.5].")
    defect = target >= 0.5
    labels = defect.astype(np.float32)
    undecided = np.where(defect, target < 0.5 + epsilon, target > 0.5 - epsilon)
    labels[undecided & ~certain] = -1.0
    return labels
