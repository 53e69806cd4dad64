"""What OpenCV makes of an image file."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.errors import ImageError
from adclick_runtime.images.transparency import on_white

Pixels = NDArray[np.uint8]

AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
"""Three channels of 8 bits, not turned."""

WITH_ALPHA = cv2.IMREAD_UNCHANGED
"""All channels and all bits, not turned either, except TIFF."""


def decoded(data: bytes, how: int) -> NDArray[Any] | None:
    """(H, W) or (H, W, 3 or 4), BGR or BGRA, of any depth; None for a file that OpenCV does not read."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error:  # of a file that is empty, or larger than OpenCV's own limit
        return None


def read(data: bytes, how: int, kind: str) -> NDArray[Any]:
    """The same; raises ImageError in its place, for a file of `kind`."""
    found = decoded(data, how)
    if found is None:
        raise ImageError(
            f"The image file is damaged, or of a kind of {kind} that OpenCV does not read; save it as PNG."
        )
    return found


def rgb(bgr: Pixels) -> Pixels:
    """(H, W, 3) RGB of a picture (H, W) grey, (H, W, 3) BGR, or (H, W, 4) BGRA, which is laid on white."""
    if bgr.ndim == 2:
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_GRAY2RGB), np.uint8)
    if bgr.shape[2] == 4:
        return on_white(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGRA2RGBA), np.uint8))
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr), np.uint8)
