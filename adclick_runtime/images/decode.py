"""Image files to pixels by the backend's rules, with OpenCV in the place of Pillow.

Upright as the EXIF data says, transparency over white, the first frame of an animation, 16-bit pixels by a white point,
half a file refused (`adclick_backend.images.decode` says why each). A file that OpenCV would show in another way than
the person saw who labelled it is refused in a sentence, never decoded to other pixels.
"""

from __future__ import annotations

import struct
from types import ModuleType

import numpy as np

from adclick_runtime.errors import ImageError
from adclick_runtime.images import bmp, gif, jpeg, limits, png, tiff, webp
from adclick_runtime.images.deep import DeepImage
from adclick_runtime.images.kinds import what_else
from adclick_runtime.images.opencv import Pixels

_FORMATS: tuple[tuple[bytes, ModuleType], ...] = (
    (b"\xff\xd8\xff", jpeg),
    (b"\x89PNG\r\n\x1a\n", png),
    (b"II*\0", tiff),
    (b"MM\0*", tiff),
    (b"II+\0", tiff),
    (b"MM\0+", tiff),
    (b"BM", bmp),
    (b"GIF87a", gif),
    (b"GIF89a", gif),
)


def decode_image(data: bytes, *, max_megapixels: float, white: int | None = None) -> Pixels:
    """Decode an image file.

    Args:
        data: the bytes of the file.
        max_megapixels: limit.
        white: value of 16-bit pixels that becomes 255, from 1 to 65535; None for the lowest that leaves all but
            reflections of this image as they are (`adclick_runtime.images.deep`).

    Returns:
        RGB, (H, W, 3) uint8, [0, 255], contiguous, upright.

    Raises:
        ImageError: the file is no image, damaged, of a depth or kind that cannot be shown, or its header announces
            more than ``max_megapixels``, which is found out before anything is decoded.
    """
    format = _format(data)
    try:
        width, height = format.size(data)
        limits.check_size(width, height, max_megapixels)
        found = format.read(data)
    except (struct.error, IndexError, ValueError) as error:
        raise error if isinstance(error, ImageError) else ImageError(what_else(data)) from error
    if isinstance(found, DeepImage):
        found = found.page(white or found.brightness.white)
    if sorted(found.shape[:2]) != sorted((height, width)):
        raise ImageError(
            f"The image file is damaged: its header says {width} x {height} pixels, and there are "
            f"{found.shape[1]} x {found.shape[0]}."
        )
    return np.ascontiguousarray(found)


def _format(data: bytes) -> ModuleType:
    """The file of this room that reads an image; raises ImageError where none does."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return webp
    for start, format in _FORMATS:
        if data.startswith(start):
            return format
    raise ImageError(what_else(data))
