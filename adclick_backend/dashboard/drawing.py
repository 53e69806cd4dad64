"""Pictures for the pages: heat maps and masks over images, small enough to be sent quickly."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.images.decode import Pixels
from adclick_runtime.drawing import COLOURS, outline, with_masks

__all__ = ["COLOURS", "QUALITY", "fitted", "grey_png", "jpeg", "outline", "with_heat", "with_masks"]

QUALITY = 88  # of JPEG files
_HEAT = 0.72  # how much of the hottest place hides the image


def fitted(values: NDArray[np.float32], pixels: Pixels) -> NDArray[np.float32]:
    """A map at the size of the image that it covers."""
    size = pixels.shape[1], pixels.shape[0]
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)


def with_heat(pixels: Pixels, values: NDArray[np.float32]) -> Pixels:
    """An image under a map (h, w) in [0, 1] of the whole of it: nothing over 0, dark red over 1."""
    heat = np.clip(fitted(values, pixels), 0, 1)
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    hides = (_HEAT * np.minimum(1.0, 2.0 * heat))[..., None]
    return np.asarray(pixels * (1 - hides) + colours * hides, np.uint8)


def jpeg(pixels: Pixels) -> bytes:
    """An image (h, w, 3) RGB as a JPEG file."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])


def grey_png(values: NDArray[np.float32]) -> bytes:
    """A map (h, w) in [0, 1] as a grey PNG file."""
    return bytes(cv2.imencode(".png", np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))[1])
