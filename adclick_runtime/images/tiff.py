"""TIFF and BigTIFF, the first page, which OpenCV turns upright by itself."""

from __future__ import annotations

import cv2
import numpy as np

from adclick_runtime.errors import ImageError
from adclick_runtime.images import opencv, tiff_tags
from adclick_runtime.images.deep import DeepImage
from adclick_runtime.images.upright import ORIENTATION

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_TOGETHER, _APART = 1, 2
_UNSPECIFIED = 0  # kind of extra samples


def size(data: bytes) -> tuple[int, int]:
    """Width and height of the upright picture; raises ValueError."""
    found = tiff_tags.tags(data)
    if tiff_tags.WIDTH not in found or tiff_tags.HEIGHT not in found:
        raise ValueError("no size")
    width, height = found[tiff_tags.WIDTH][0], found[tiff_tags.HEIGHT][0]
    return (height, width) if found.get(ORIENTATION, (1,))[0] > 4 else (width, height)


def read(data: bytes) -> opencv.Pixels | DeepImage:
    """The picture, upright; raises ImageError."""
    found = tiff_tags.tags(data)
    photometric = found.get(tiff_tags.PHOTOMETRIC, (_BLACK_IS_ZERO,))[0]
    samples = found.get(tiff_tags.SAMPLES, (1,))[0]
    extra = found.get(tiff_tags.EXTRA_SAMPLES, ())
    grey = photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
    if grey and samples > 1:
        raise ImageError(
            f"The image is a grey TIFF of {samples} samples a pixel, which OpenCV does not read; save it without "
            "transparency, or as PNG."
        )
    if max(found.get(tiff_tags.BITS_PER_SAMPLE, (1,))) > 8:
        if not grey:
            check_colours(photometric, samples, found.get(tiff_tags.PLANES, (_TOGETHER,))[0])
        values = opencv.read(data, opencv.WITH_ALPHA, "TIFF")
        return DeepImage.of_opencv(values, zero_is_white=photometric == _WHITE_IS_ZERO)
    if photometric == _RGB and samples == 4 and extra and extra[0] != _UNSPECIFIED:
        return _premultiplied(opencv.read(data, opencv.WITH_ALPHA, "TIFF"))
    return opencv.rgb(opencv.read(data, cv2.IMREAD_COLOR, "TIFF"))


def check_colours(photometric: int | None, samples: int, planes: int) -> None:
    """Raises ImageError for what OpenCV takes for something else: 16-bit TIFFs whose samples are not RGB or RGBA, one
    by one."""
    if photometric != _RGB or samples not in (3, 4) or planes == _APART:
        raise ImageError(
            f"The image is a 16-bit TIFF of a kind that is not known here (photometric interpretation {photometric}, "
            f"{samples} samples a pixel, planar configuration {planes}); save it as 16-bit RGB with interleaved "
            "samples, or as PNG."
        )


def _premultiplied(bgra: opencv.Pixels) -> opencv.Pixels:
    """On white; OpenCV hands out 8-bit colours with their alpha multiplied in."""
    white = 255 - bgra[..., 3:]
    return opencv.rgb(bgra[..., :3] + np.minimum(white, 255 - bgra[..., :3]))
