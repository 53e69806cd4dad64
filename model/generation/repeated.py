"""Drawn images on which one kind of defect occurs many times: equal pits, and beside them what is not one of them."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from model.generation.synthesis import Float, Image, Mask, add_defect, noise

FEWEST, MOST = 5, 20
"""Pits of an image."""

OTHERS = ("scratch", "stain", "fibre", "torn")
"""Defects of other kinds that may be there as well."""

MARGIN = 6.0
"""Pixels of an image of 384 between two pits, at least: what touches is one part."""


class Repeated(NamedTuple):
    """An image with many equal defects.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, all pits; no two of them touch.
        other: (H, W) bool, a defect of another kind; empty when there is none.
    """

    image: Image
    mask: Mask
    other: Mask


def repeated_pits(image: Image, rng: np.random.Generator) -> Repeated:
    """A copy of ``image`` with 5 to 20 pits of one look, and on every second one a defect of another kind.

    The pits have one size (within 15 %), one depth (within 15 %) and one softness; each has a rim of its own.

    Args:
        image: (H, W, 3) uint8 RGB, free of defects.
        rng: source of all randomness.
    """
    height, width = image.shape[:2]
    scale = max(height, width) / 384
    radius, softness = rng.uniform(3.5, 9) * scale, rng.uniform(2, 6)
    shift = rng.choice([-1, 1]) * rng.uniform(45, 110) + rng.normal(0, 6, 3)
    drawn, other = image, np.zeros((height, width), bool)
    if rng.random() < 0.5:
        drawn, other, _ = add_defect(image, rng, str(rng.choice(OTHERS)))
    taken = cv2.dilate(other.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    alpha = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(FEWEST, MOST + 1))):
        spot = _free_spot(taken, rng, radius * rng.uniform(0.85, 1.15), softness, MARGIN * scale)
        if spot is not None:
            alpha = np.maximum(alpha, spot * np.float32(rng.uniform(0.85, 1)))
            taken |= spot > 0
    pitted = np.clip(drawn + alpha[..., None] * shift, 0, 255)
    return Repeated(np.rint(pitted).astype(np.uint8), alpha > 0.25, other)


def _free_spot(
    taken: NDArray[np.bool_], rng: np.random.Generator, radius: float, softness: float, margin: float
) -> Float | None:
    """The alpha (H, W) in [0, 1] of a nearly round spot where nothing is; None when no place was found."""
    height, width = taken.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    room = cv2.distanceTransform((~taken).astype(np.uint8), cv2.DIST_L2, 5)
    for _ in range(50):
        x, y = rng.uniform(0.08, 0.92) * width, rng.uniform(0.08, 0.92) * height
        if room[int(y), int(x)] < 1.3 * radius + margin:
            continue
        rim = 0.3 * (noise((height, width), rng, max(2, int(1.5 * max(height, width) / radius))) - 0.5)
        distance = np.hypot(columns - x, rows - y) / radius + rim
        spot = np.clip((1 - distance) * softness, 0, 1)
        return np.asarray(np.where(np.hypot(columns - x, rows - y) < 1.3 * radius, spot, 0), np.float32)
    return None
