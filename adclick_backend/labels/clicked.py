"""An accepted mask and the answer it came from -> the weak label of Eq. 8, with what was changed by hand."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.brush.shapes import resize_mask
from adclick_backend.store import Answer
from model.clicks import CLICK_RADIUS, Click
from model.labels.weak import strengthen

BORDER = 2
"""Image pixels by which a border may move without having been moved by hand: Label Studio draws masks anew."""


def clicked_target(final: NDArray[np.bool_], answer: Answer) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """What is known of the pixels of a region that ADClick answered.

    Args:
        final: (H, W) bool, the region as the person left it, image pixels.
        answer: what ADClick had answered, for the same image.

    Returns:
        P' of Eq. 8, (H, W) float32 in [0, 1], and (H, W) bool, where the person is right: the mask was changed by
        hand there, or was accepted though the map says otherwise. P' has the person's value there.
    """
    height, width = final.shape
    scale_x, scale_y = (m / s for m, s in zip(answer.map_size[::-1], answer.size[::-1], strict=True))
    # Rounding may put a click on the last pixel's far edge onto the first pixel outside.
    right, bottom = (float(np.nextafter(side, 0)) for side in answer.map_size[::-1])
    clicks = [
        Click(min(x * scale_x, right), min(y * scale_y, bottom), positive) for x, y, positive in answer.clicks
    ]
    strong = strengthen(answer.probability(), clicks, CLICK_RADIUS)
    target = cv2.resize(strong, (width, height), interpolation=cv2.INTER_LINEAR)
    grain = math.ceil(2 * max(height / answer.map_size[0], width / answer.map_size[1]))
    certain = beyond(final, resize_mask(answer.mask(), height, width), BORDER)
    certain |= beyond(final, target >= 0.5, BORDER + grain)
    return np.where(certain, final, target).astype(np.float32), certain


def beyond(final: NDArray[np.bool_], before: NDArray[np.bool_], border: int) -> NDArray[np.bool_]:
    """Where two masks differ, farther than ``border`` pixels from the border of the earlier one."""
    square = np.ones((2 * border + 1, 2 * border + 1), np.uint8)  # a disc takes ten times as long
    grown = cv2.dilate(before.astype(np.uint8), square) > 0
    shrunk = cv2.erode(before.astype(np.uint8), square) > 0
    return np.asarray((final & ~grown) | (~final & shrunk))
