"""Images made small enough to be drawn on, or to be sent to a page."""

from __future__ import annotations

import cv2
import numpy as np

from adclick_backend.images.decode import Pixels


def shrunk(pixels: Pixels, side: int) -> Pixels:
    """An image (H, W, 3) uint8 of which the longer side has at most ``side`` pixels; itself when it is small enough."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
