"""The row of a contact sheet: a good image, where something was painted in it, and what came out."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.dashboard.drawing import COLOURS, jpeg, outline
from adclick_backend.images.decode import Pixels
from model.generation.anogen.window import Box, Window

SIDE = 200
"""Pixels of each of the three pictures."""

SURROUNDINGS = 2.6
"""Side of what is shown, in longer sides of the box."""

_GAP = 4
_BOX, _OUTLINE = (255, 200, 0), COLOURS[0]


def sheet_row(normal: Pixels, pixels: Pixels, mask: NDArray[np.bool_], box: Box) -> bytes:
    """The surroundings of the box three times, side by side, as a JPEG file.

    Args:
        normal: (H, W, 3) uint8 RGB, the good image.
        pixels: the same with the painted defect.
        mask: (H, W) bool, where that is.
        box: in which was painted.
    """
    window = Window.round(box, mask.shape, SURROUNDINGS)
    good, painted = (window.picture(image, SIDE) for image in (normal, pixels))
    inner = window.inside(box, SIDE)
    boxed = good.copy()
    cv2.rectangle(boxed, (inner.left, inner.top), (inner.right - 1, inner.bottom - 1), _BOX, 2)
    outline(painted, window.cut(mask.astype(np.float32), SIDE) >= 0.5, (_OUTLINE, 1))
    gap = np.full((SIDE, _GAP, 3), 255, np.uint8)
    return jpeg(np.ascontiguousarray(np.concatenate([good, gap, boxed, gap, painted], axis=1)))
