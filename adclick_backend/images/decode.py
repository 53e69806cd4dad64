"""Image files to pixels, as Label Studio's page shows them.

What a person clicks on is the browser's picture of the file, so these pixels are that picture: upright as its
EXIF data says, the first frame of an animation, transparency over the white of the page. Two things go beyond:

* 16-bit pixels. A browser divides by 257, which leaves the pictures of 12-bit cameras almost black. Here the
  brightest pixel chooses between two fixed windows: below 4096 the image counts as 12 bit (4095 becomes 255),
  else as 16 bit (65535 becomes 255). An image is never stretched to its own range, so that the images of one
  product stay comparable.
* TIFF, which browsers do not show at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from adclick_backend.errors import ImageError

Pixels = NDArray[np.uint8]

# What cameras and people write; JPEG includes MPO. Pillow's other decoders stay out: PostScript runs a program.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP")

# Tags of TIFF, and of EXIF, which is written in TIFF.
_BITS_PER_SAMPLE = 258
_PHOTOMETRIC = 262
_ORIENTATION = 274

_WHITE_IS_ZERO = 0

# EXIF orientation -> what turns the stored picture upright.
_UPRIGHT: dict[int, Callable[[Any], Any]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: lambda pixels: cv2.transpose(pixels),
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}

# Pillow's limit is one for the whole process; decode_image holds every header against the setting instead.
Image.MAX_IMAGE_PIXELS = None


def decode_image(data: bytes, *, max_megapixels: float) -> Pixels:
    """Decode an image file.

    Returns RGB, HWC uint8, [0, 255], contiguous, upright.

    Raises ImageError when the file is no image, damaged or of an unknown depth, and when its header announces
    more than ``max_megapixels``, which is found out before anything is decoded.
    """
    with _opened(data, max_megapixels) as image:
        return np.ascontiguousarray(_decode(image, data))


def image_size(data: bytes, *, max_megapixels: float) -> tuple[int, int]:
    """Width and height of the upright image, from the header where that tells; raises ImageError."""
    with _opened(data, max_megapixels) as image:
        if _hides_orientation(image, data):
            image.load()
        width, height = image.size
        return (height, width) if _orientation(image) > 4 else (width, height)


@contextmanager
def _opened(data: bytes, max_megapixels: float) -> Iterator[Image.Image]:
    """An image with its header read and checked; whatever fails inside becomes an ImageError."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            _check_size(*image.size, max_megapixels)
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(_what_else(data)) from error
    except Exception as error:  # decoders of foreign bytes raise whatever they stumble over
        raise ImageError(f"The image file is damaged: {str(error).rstrip('. ')}.") from error


def _check_size(width: int, height: int, max_megapixels: float) -> None:
    if width <= 0 or height <= 0:
        raise ImageError(f"The image file says that it is {width} x {height} pixels large.")
    if width * height > max_megapixels * 1e6:
        raise ImageError(
            f"The image has {width} x {height} = {width * height / 1e6:.0f} megapixels; the limit is "
            f"{max_megapixels:g} (ADCLICK_MAX_MEGAPIXELS)."
        )


def _what_else(data: bytes) -> str:
    """What to say about bytes that are no image."""
    if not data:
        return "The image file is empty."
    if data.lstrip()[:1] == b"<":
        return "Instead of an image there is a web page (a login page, perhaps) or an SVG drawing."
    return f"The file is not an image of a known kind ({', '.join(FORMATS)}); it begins with {data[:8]!r}."


def _decode(image: Image.Image, data: bytes) -> Pixels:
    if image.mode.startswith(("I", "F")):
        return _deep_grey(image)
    if _bits(image, data) > 8:
        return _deep_colour(image, data)
    if _is_plain(image, data):
        # Up to twice as fast as Pillow, with the same result; None for a damaged file.
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if bgr is not None:
            return _upright(image, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr))
    image.load()
    return _upright(image, _on_white(image))


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits per channel, from the header."""
    if image.format == "PNG":
        return data[24]  # in the IHDR chunk, which comes first
    if isinstance(image, TiffImageFile):
        return int(max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))))
    return 8


def _hides_orientation(image: Image.Image, data: bytes) -> bool:
    """Whether the orientation is known only once the image is loaded.

    PNG may carry its EXIF data behind the pixels; of TIFF, Pillow applies the tag while it loads.
    """
    if isinstance(image, TiffImageFile):
        return bool(image.tag_v2.get(_ORIENTATION, 1) != 1)
    return image.format == "PNG" and any(kind == b"eXIf" for kind in _png_chunks(data))


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """The kinds of a PNG's chunks, without looking into them."""
    start = 8
    while start + 8 <= len(data):
        yield data[start + 4 : start + 8]
        start += 12 + int.from_bytes(data[start : start + 4], "big")


def _is_plain(image: Image.Image, data: bytes) -> bool:
    """Whether OpenCV reads this file as Pillow does: complete, no transparency, no inks, known orientation."""
    if image.mode not in ("L", "RGB") or "transparency" in image.info or _hides_orientation(image, data):
        return False
    # Some versions of OpenCV fill up a JPEG that ends early, without a word.
    return image.format == "PNG" or (image.format in ("JPEG", "MPO") and data.endswith(b"\xff\xd9"))


def _on_white(image: Image.Image) -> Pixels:
    if image.has_transparency_data:
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image.convert("RGBA"))
        image = page
    return np.asarray(image.convert("RGB"))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, that is still to be applied.

    1 for TIFF, whose orientation is a tag of its own that both decoders apply themselves. Unlike Pillow's own
    function this takes no notice of XMP, because browsers take none.
    """
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(_ORIENTATION)
    except Exception:  # damaged EXIF data says nothing
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _upright(image: Image.Image, pixels: Any) -> Pixels:
    """Apply the EXIF orientation."""
    turn = _UPRIGHT.get(_orientation(image))
    upright: Pixels = turn(pixels) if turn else pixels
    return upright


def _deep_grey(image: Image.Image) -> Pixels:
    """One channel of more than 8 bits."""
    image.load()
    grey = _window(np.asarray(image))
    if isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    return _upright(image, cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))


def _deep_colour(image: Image.Image, data: bytes) -> Pixels:
    """Several channels of more than 8 bits, of which Pillow keeps the high byte only."""
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.ndim != 3:
        raise ImageError("The image file is damaged, or of a 16-bit kind that is not known here.")
    colour = cv2.cvtColor(_window(values[..., :3]), cv2.COLOR_BGR2RGB)
    if values.shape[2] == 4:
        alpha = cv2.convertScaleAbs(values[..., 3], alpha=255 / 65535)
        colour = _on_white(Image.fromarray(np.dstack([colour, alpha])))
    return _upright(image, colour)


def _window(values: NDArray[Any]) -> Pixels:
    """Integers of any type to 8 bits by the window rule of this module."""
    if values.dtype.kind == "f":
        raise ImageError("The image has floating-point pixels, where no white is defined; save it as 16 bit.")
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError(f"The image has pixel values from {low} to {high}; only 0 to 65535 can be shown.")
    white = 4095 if high < 4096 else 65535
    scaled = cv2.convertScaleAbs(values.astype(np.uint16), alpha=255 / white)
    return np.asarray(scaled, dtype=np.uint8)
