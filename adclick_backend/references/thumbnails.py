"""Small pictures of references, for the status page."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL = 192  # pixels of the longer side


def thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    """A small JPEG of an image (uint8 RGB HWC)."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()
