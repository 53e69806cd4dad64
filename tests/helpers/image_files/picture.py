"""The picture in the image files, and what is expected of one."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 16, 24
PROFILE = "colour profiles and gamma are not applied"


@dataclass(frozen=True)
class ImageFile:
    """A file, and what becomes of it here beside what Chromium shows.

    Attributes:
        kind: for the table.
        data: the file.
        suffix: of its name.
        tolerance: grey levels that a pixel may differ from Chromium's at most; decoders of JPEG and WebP differ so much
            where they interpolate colours.
        refused: the words in which it is refused; "" when it is decoded.
        differs: why the pixels are not Chromium's; "" when they are.
        white: the white point for 16-bit pixels; Chromium's is 65535.
        pixels: what must come out; None where that is what Chromium shows.
        varies: whether some versions of Chromium show just these pixels, and others what is on the record.
    """

    kind: str
    data: bytes
    suffix: str
    tolerance: int = 0
    refused: str = ""
    differs: str = ""
    white: int = 65535
    pixels: NDArray[np.uint8] | None = None
    varies: bool = False


def picture() -> NDArray[np.uint8]:
    """Without any symmetry, so that every wrong turn shows; (16, 24, 3) RGB."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [
        255 * columns // WIDTH,
        255 * rows // HEIGHT,
        255 * (columns + 2 * rows) // (WIDTH + 2 * HEIGHT),
    ]
    return np.stack(planes, axis=-1).astype(np.uint8)


def grey() -> NDArray[np.uint8]:
    """The blue plane of the picture; (16, 24)."""
    return np.ascontiguousarray(picture()[..., 2])


def alpha() -> NDArray[np.uint8]:
    """Opaque on the left, transparent in one corner, in between elsewhere; (16, 24)."""
    found = np.full((HEIGHT, WIDTH), 255, np.uint8)
    found[:, 12:18] = 128
    found[:6, 18:] = 0
    return found


def with_alpha() -> NDArray[np.uint8]:
    """(16, 24, 4) RGBA."""
    return np.dstack([picture(), alpha()])


def saved(pixels: NDArray[Any] | Image.Image, format: str, **options: Any) -> bytes:
    """A file as Pillow writes it."""
    buffer = BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, format, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) RGB as Pillow decodes it."""
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def exif(orientation: int) -> bytes:
    """EXIF data with nothing but an orientation."""
    found = Image.Exif()
    found[274] = orientation
    return found.tobytes()
