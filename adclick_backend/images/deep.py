"""Images of more than 8 bits a channel: their values, and the 8 bits that are made of them.

A browser divides by 257, which leaves the pictures of 12-bit cameras almost black. Here the value that becomes 255,
the white point, is one of 4095, 8191, 16383, 32767 and 65535, and all images of a product have the same: see
:mod:`adclick_backend.images.white_points`. What is brighter is white.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.errors import ImageError

FULL_SCALE = 65535

_BRIGHT = 0.01  # share of an image's values that may be white: reflections, hot pixels
_DAZZLED = 0.25  # share from which on the rest of an image says little


STRIP = 256
"""Rows that are worked on at a time: what is computed on the way never takes the memory of a whole image."""


def strips(height: int) -> Iterator[slice]:
    """The rows of an image, `STRIP` at a time."""
    return (slice(top, min(top + STRIP, height)) for top in range(0, height, STRIP))


class Brightness(NamedTuple):
    """Which white points suit an image.

    Attributes:
        white: the lowest that leaves all but reflections as they are.
        least: the lowest with which the image is still worth looking at.
    """

    white: int
    least: int


@dataclass(frozen=True)
class DeepImage:
    """An upright image of more than 8 bits.

    Attributes:
        values: (H, W) or RGB (H, W, 3) uint16.
        alpha: (H, W) uint8; None when nothing is transparent.
        zero_is_white: whether small values are light, as in radiographs.
    """

    values: NDArray[np.uint16]
    alpha: NDArray[np.uint8] | None = None
    zero_is_white: bool = False

    @property
    def brightness(self) -> Brightness:
        """The white points that suit this image, whatever those of its product are."""
        return Brightness(self._lowest(_BRIGHT), self._lowest(_DAZZLED))

    def shown(self, white: int, rows: slice = slice(None)) -> NDArray[np.uint8]:
        """RGB or RGBA, HWC uint8, [0, 255], of all rows or some: `white` and what is above it become 255."""
        values = np.ascontiguousarray(self.values[rows])
        grey = np.asarray(cv2.convertScaleAbs(values, alpha=255 / white), np.uint8)
        if self.zero_is_white:
            grey = 255 - grey
        colour = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB) if grey.ndim == 2 else grey
        return np.asarray(colour if self.alpha is None else np.dstack([colour, self.alpha[rows]]), np.uint8)

    def _lowest(self, share: float) -> int:
        """The lowest white point that at most this share of the values lies above."""
        for white in (4095, 8191, 16383, 32767):
            above = sum(np.count_nonzero(self.values[rows] > white) for rows in strips(len(self.values)))
            if above <= share * self.values.size:
                return white
        return FULL_SCALE


def sixteen_bit(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Numbers of any type as they are; raises ImageError where 16 bits cannot hold them."""
    if values.dtype.kind == "f":
        raise ImageError("The image has floating-point pixels, where no white is defined; save it as 16 bit.")
    if values.dtype == np.uint16:
        return values
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > FULL_SCALE:
        raise ImageError(f"The image has pixel values from {low} to {high}; only 0 to 65535 can be shown.")
    return values.astype(np.uint16)
