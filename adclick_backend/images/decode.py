"""Image files to pixels, as Label Studio's page shows them.

What a person clicks on is the browser's picture of the file, so these pixels are that picture: upright as its
EXIF data says, the first frame of an animation, transparency over the white of the page. Some things differ:

* 16-bit pixels, see :mod:`adclick_runtime.images.deep`.
* TIFF, which browsers do not show at all.
* Colour profiles and gamma (ICC, gAMA, cICP), which browsers apply. Here the camera's own values count: all images
  of a product come with the same profile, and where things are in the picture does not depend on it.
* Half a file, of which browsers show half a picture. Here it is refused: it would be labelled as if it were whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.GifImagePlugin import GifImageFile
from PIL.TiffImagePlugin import TiffImageFile

from adclick_backend.errors import ImageError
from adclick_runtime.images.deep import FULL_SCALE, DeepImage, sixteen_bit
from adclick_runtime.images.kinds import FORMATS, what_else
from adclick_runtime.images.limits import check_size
from adclick_runtime.images.strips import strips
from adclick_runtime.images.tiff import check_colours
from adclick_runtime.images.upright import turn

Pixels = NDArray[np.uint8]

_START_OF_JPEG, _END_OF_JPEG = b"\xff\xd8", b"\xff\xd9"

# Tags of TIFF, and of EXIF, which is written in TIFF.
_BITS_PER_SAMPLE = 258
_PHOTOMETRIC = 262
_SAMPLES = 277
_PLANES = 284
_ORIENTATION = 274

_WHITE_IS_ZERO = 0

# Pillow's limit is one for the whole process; decode_image holds every header against the setting instead.
Image.MAX_IMAGE_PIXELS = None


def decode_image(data: bytes, *, max_megapixels: float, white: int = 0) -> Pixels:
    """Decode an image file.

    Args:
        data: the bytes of the file.
        max_megapixels: limit.
        white: value of 16-bit pixels that becomes 255, see `WhitePoints`; 0 for 65535, the end of the scale.

    Returns RGB, HWC uint8, [0, 255], contiguous, upright.

    Raises ImageError when the file is no image, damaged or of an unknown depth, and when its header announces
    more than ``max_megapixels``, which is found out before anything is decoded.
    """
    with _opened(data, max_megapixels) as image:
        return np.ascontiguousarray(
            show_deep(_deep(image, data), white) if _is_deep(image, data) else _decode(image, data)
        )


def decode_deep(data: bytes, *, max_megapixels: float) -> DeepImage | None:
    """The values of an image of more than 8 bits; None for any other. Raises ImageError."""
    with _opened(data, max_megapixels) as image:
        return _deep(image, data) if _is_deep(image, data) else None


def show_deep(image: DeepImage, white: int) -> Pixels:
    """What `decode_image` makes of an image of more than 8 bits."""
    return image.page(white or FULL_SCALE)


def is_deep(data: bytes, *, max_megapixels: float) -> bool:
    """Whether an image has more than 8 bits a channel, from its header; raises ImageError."""
    if data.startswith(_START_OF_JPEG):
        return False  # the decoders read no other JPEG
    with _opened(data, max_megapixels) as image:
        return _is_deep(image, data)


def image_size(data: bytes, *, max_megapixels: float) -> tuple[int, int]:
    """Width and height of the upright image, from the header where that tells; raises ImageError."""
    with _opened(data, max_megapixels) as image:
        if _is_turned_tiff(image):
            image.load()
        width, height = image.size
        return (height, width) if _orientation(image) > 4 else (width, height)


def is_turned(data: bytes, *, max_megapixels: float) -> bool:
    """Whether an image says that it is to be shown turned or mirrored, which not every reader does."""
    with _opened(data, max_megapixels) as image:
        return bool(image.getexif().get(_ORIENTATION, 1) != 1)


def is_deep_file(path: Path, *, max_megapixels: float) -> bool:
    """The same of a file, of which no more is read than that takes; raises OSError as well."""
    with path.open("rb") as file:
        start = file.read(25)
    if start.startswith(b"\x89PNG"):
        return start[24:] > b"\x08"
    return start[:2] in (b"II", b"MM") and is_deep(path.read_bytes(), max_megapixels=max_megapixels)


@contextmanager
def _opened(data: bytes, max_megapixels: float) -> Iterator[Image.Image]:
    """An image with its header read and checked; whatever fails inside becomes an ImageError."""
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            check_size(*image.size, max_megapixels)
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(what_else(data)) from error
    except Exception as error:  # decoders of foreign bytes raise whatever they stumble over
        raise ImageError(f"The image file is damaged: {_said(error)}.") from error


def _decode(image: Image.Image, data: bytes) -> Pixels:
    upright = _turn(image)  # before the pixels are read: browsers take no notice of EXIF data behind them
    if _is_plain(image, data):
        # Up to twice as fast as Pillow, with the same result; None for a damaged file.
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if bgr is not None:
            return np.asarray(upright(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)))
    if getattr(image, "default_image", False):  # of an APNG, for programs that know of no animations
        image.seek(1)
    if image.format == "PNG" and image.mode in ("1", "L") and "transparency" in image.info:
        # Pillow spreads these pixels over 0 to 255, but not the grey that is to be transparent.
        image.info["transparency"] *= 255 // (2 ** _bits(image, data) - 1)
    frame = image.tile[0][1] if isinstance(image, GifImageFile) else None
    page = _on_white(_loaded(image, data))
    return np.asarray(upright(page if frame is None else _on_canvas(page, frame)))


def _on_canvas(page: Pixels, frame: tuple[int, int, int, int]) -> Pixels:
    """A picture, white around its first frame (left, top, right, bottom)."""
    left, top, right, bottom = frame
    canvas = np.full_like(page, 255)
    canvas[top:bottom, left:right] = page[top:bottom, left:right]
    return canvas


def _loaded(image: Image.Image, data: bytes) -> Image.Image:
    """The image with its pixels, which may be another one than was given; raises OSError when some are missing."""
    try:
        image.load()
    except OSError:
        whole = _without_end(data) if image.format in ("JPEG", "MPO") else None
        if whole is None:
            raise
        return whole
    return image


def _without_end(data: bytes) -> Image.Image | None:
    """A JPEG that lacks nothing but its end marker, as some cameras and grabbers leave it; None for half a picture.

    Where pixels are missing, they depend on what follows. So it is completed in three ways, which must not differ.
    """
    start = data.rstrip(b"\xff")
    first = _read_jpeg(start + _END_OF_JPEG)
    pixels = np.asarray(first)
    for filling in (b"\x55" * 64, b"\xaa" * 64):
        if not np.array_equal(pixels, np.asarray(_read_jpeg(start + filling + _END_OF_JPEG))):
            return None
    return first


def _read_jpeg(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data), formats=("JPEG",))
    image.load()
    return image


def _is_deep(image: Image.Image, data: bytes) -> bool:
    return image.mode.startswith(("I", "F")) or _bits(image, data) > 8


def _bits(image: Image.Image, data: bytes) -> int:
    """Bits per channel, from the header."""
    if image.format == "PNG":
        return data[24]  # in the IHDR chunk, which comes first
    if isinstance(image, TiffImageFile):
        return int(max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))))
    return 8


def _is_turned_tiff(image: Image.Image) -> bool:
    """Whether the image is a TIFF that Pillow turns while it loads."""
    return isinstance(image, TiffImageFile) and bool(image.tag_v2.get(_ORIENTATION, 1) != 1)


def _is_plain(image: Image.Image, data: bytes) -> bool:
    """Whether OpenCV reads this file as Pillow does: complete, no transparency, no inks, no animation."""
    still = not getattr(image, "is_animated", False) or image.format == "MPO"
    if image.mode not in ("L", "RGB") or "transparency" in image.info or not still:
        return False
    # Some versions of OpenCV fill up a JPEG that ends early, without a word.
    return image.format == "PNG" or (image.format in ("JPEG", "MPO") and data.endswith(_END_OF_JPEG))


def _on_white(image: Image.Image) -> Pixels:
    # A fourth byte that is 0 in every pixel of a BMP is no alpha: whoever wrote it did not think of it.
    meant = image.format != "BMP" or image.mode != "RGBA" or image.getchannel("A").getextrema() != (0, 0)
    transparent = meant and image.has_transparency_data
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    for rows in strips(height):
        part = image.crop((0, rows.start, width, rows.stop))
        if transparent:
            page = Image.new("RGBA", part.size, "white")
            page.alpha_composite(part.convert("RGBA"))
            part = page
        pixels[rows] = np.asarray(part.convert("RGB"))
    return pixels


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, that is still to be applied.

    1 for TIFF, whose orientation is a tag of its own that both decoders apply themselves, and for WebP, where browsers
    do not apply it. Unlike Pillow's own function this takes no notice of XMP, because browsers take none.
    """
    if image.format == "WEBP":
        return 1
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        orientation = exif.get(_ORIENTATION)
    except Exception:  # damaged EXIF data says nothing
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _turn(image: Image.Image) -> Callable[[Any], Any]:
    """What applies the EXIF orientation."""
    return turn(_orientation(image))


def _deep(image: Image.Image, data: bytes) -> DeepImage:
    upright = _turn(image)
    if image.mode.startswith(("I", "F")):
        image.load()
        found = DeepImage(sixteen_bit(np.asarray(image)), None, _is_white_zero(image))
    else:
        if isinstance(image, TiffImageFile):
            tags = image.tag_v2
            check_colours(tags.get(_PHOTOMETRIC), tags.get(_SAMPLES, 1), tags.get(_PLANES, 1))
        found = _deep_colour(data)
    if found.alpha is None:
        found = replace(found, alpha=_keyed(np.atleast_3d(found.values), image))
    return found.turned(upright) if _orientation(image) > 1 else found


def _is_white_zero(image: Image.Image) -> bool:
    return isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO


def _keyed(values: NDArray[np.uint16], image: Image.Image) -> Pixels | None:
    """The alpha of a PNG that names one of its colours (values: (H, W, channels)) as transparent."""
    if (key := image.info.get("transparency")) is None or image.format != "PNG":
        return None
    return np.where((values == np.asarray(key, np.uint16)).all(axis=2), 0, 255).astype(np.uint8)


def _deep_colour(data: bytes) -> DeepImage:
    """Several channels of more than 8 bits, of which Pillow keeps the high byte only: RGB, and alpha."""
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.ndim != 3:
        raise ImageError("The image file is damaged, or of a 16-bit kind that is not known here.")
    return DeepImage.of_opencv(values)


def _said(error: Exception) -> str:
    """What a decoder says, without Python's way of writing bytes: ``chunk b'ID\\xffT'`` becomes ``chunk ID?T``."""
    words = re.sub(r"\bb(['\"])(.*?)\1", lambda found: re.sub(r"\\x[0-9a-f]{2}", "?", found[2]), str(error))
    return words.rstrip(". ")
