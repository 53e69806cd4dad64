"""What a latent diffusion model painted, brought into the good image."""

from __future__ import annotations

import cv2
import numpy as np

from model.generation.anogen.generator import Painted
from model.generation.anogen.window import Box, Floats, Image, Window

SEEN = 10.0
"""Change of a pixel, of 255, from which it can be told from what was there."""

PART = 1 / 3
"""Of the strongest change: what changed less is texture drawn anew, not the defect."""

FADED = 0.1
"""Of the shorter side of a box: how far inside it the change has its full strength."""

FEWEST = 4
"""Pixels of a mask."""


def composed(normal: Image, window: Window, box: Box, painted: Floats, unpainted: Floats) -> Painted | None:
    """The good image with what is new in a crop.

    The autoencoder loses some detail of whatever goes through it, and a crop has not the image's own resolution. So
    not the crop is taken but its difference to the good crop that went the same way; towards the edge of the box it
    fades to nothing, and outside of the box the image stays what it was.

    Args:
        normal: (H, W, 3) uint8.
        window: of the crops.
        box: in which was painted.
        painted: (S, S, 3) float32 in [0, 255], decoded.
        unpainted: the same without the defect.

    Returns:
        The image with the mask of what visibly changed; None where that is nothing.
    """
    change = painted - unpainted
    if (pixels := max(1, round(window.side))) < len(change):
        change = np.asarray(cv2.resize(change, (pixels, pixels), interpolation=cv2.INTER_AREA), np.float32)
    here = (slice(box.top, box.bottom), slice(box.left, box.right))
    there = Window(window.x - box.left, window.y - box.top, window.side)  # as seen from the box
    weight = _faded(box, normal.shape[0], normal.shape[1])[..., None]
    image = normal.copy()
    whole = normal[here] + weight * there.spread(change, (box.height, box.width))
    image[here] = np.clip(np.rint(whole), 0, 255).astype(np.uint8)
    changed = np.abs(image[here].astype(np.float32) - normal[here]).max(2)
    seen = cv2.GaussianBlur(changed, (0, 0), 1.0)
    mask = np.zeros(normal.shape[:2], bool)
    mask[here] = seen > max(SEEN, PART * float(seen.max()))
    return Painted(image, box, mask) if np.count_nonzero(mask) >= FEWEST else None


def _faded(box: Box, height: int, width: int) -> Floats:
    """The weights in a box (h, w): 1, falling to nothing towards its edges that are not those of the image."""
    over = max(3.0, FADED * min(box.width, box.height))
    rows = _rising(box.height, over, box.top > 0, box.bottom < height)
    columns = _rising(box.width, over, box.left > 0, box.right < width)
    weights: Floats = np.minimum(rows[:, None], columns[None])
    return weights


def _rising(length: int, over: float, first: bool, last: bool) -> Floats:
    """(length,) float32, from 0 to 1 over so many pixels at the first and at the last end, where that is wanted."""
    rising = np.minimum((np.arange(length, dtype=np.float32) + 1) / np.float32(over + 1), 1)
    ones = np.ones_like(rising)
    weights: Floats = np.minimum(rising if first else ones, rising[::-1] if last else ones)
    return weights
