"""Pictures turned upright, as the orientation in their EXIF data says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2

ORIENTATION = 274
"""The tag, of EXIF and of TIFF."""

_TURNS: dict[int, Callable[[Any], Any]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: lambda pixels: cv2.transpose(pixels),
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def turn(orientation: int) -> Callable[[Any], Any]:
    """What turns a stored picture, an array of one to four channels, upright; other numbers than 2 to 8 leave it."""
    return _TURNS.get(orientation, lambda pixels: pixels)
