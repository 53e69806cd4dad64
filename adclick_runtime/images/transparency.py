"""Transparent pictures as they look on a white page."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.images.strips import strips


def on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of a picture (H, W, 4) uint8 whose alpha is not multiplied in, rounded to the nearest."""
    pixels = np.empty((*rgba.shape[:2], 3), np.uint8)
    for rows in strips(len(rgba)):
        alpha = rgba[rows, :, 3:].astype(np.uint16)
        pixels[rows] = (rgba[rows, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return pixels
