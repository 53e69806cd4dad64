"""Image files that other tools read as a browser shows them."""

from __future__ import annotations

import cv2

from adclick_backend.images.decode import is_turned
from adclick_backend.images.task_images import LoadedImage

_SUFFIXES = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
)
"""First bytes of the files that every tool reads."""


def readable(image: LoadedImage, white: int) -> tuple[bytes, str]:
    """An image file that every tool reads alike, and its suffix.

    It is the very file, unless that is of a kind that not every tool reads, or says that it is to be turned, which
    some do and others do not. Then it is a PNG file of what a browser shows, 8 bits a channel.

    Args:
        image: the file.
        white: value of 16-bit pixels that becomes 255, for a file that has to be written anew.

    Raises:
        ImageError: it cannot be decoded.
    """
    suffix = next((suffix for start, suffix in _SUFFIXES if image.data.startswith(start)), "")
    if suffix and not is_turned(image.data, max_megapixels=image.max_megapixels):
        return image.data, suffix
    return cv2.imencode(".png", cv2.cvtColor(image.read(white), cv2.COLOR_RGB2BGR))[1].tobytes(), ".png"
