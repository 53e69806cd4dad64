"""Images turned about their centre: a part that may lie any way is compared at the angle at which it lies alike."""

from __future__ import annotations

import cv2
import numpy as np

from adclick_backend.images.decode import Pixels

STEP = 30  # degrees; features of parts turned by half of that still match
TURNS = tuple(range(STEP, 360, STEP))


def turned(pixels: Pixels, degrees: float) -> Pixels:
    """An image (H, W, 3) uint8 turned anticlockwise about its centre, of the same size.

    What comes in at the corners is the image mirrored at its edge: the ground that a part lies on.
    """
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    how = cv2.warpAffine(
        pixels, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(how, np.uint8)
