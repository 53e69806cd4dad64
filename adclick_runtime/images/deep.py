"""Images of more than 8 bits a channel: their values, and the 8 bits that are made of them.

A browser divides by 257, which leaves the pictures of 12-bit cameras almost black. Here the value that becomes 255,
the white point, is one of 4095, 8191, 16383, 32767 and 65535, and all images of a product have the same: see
`adclick_backend.images.white_points`. What is brighter is white.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.errors import ImageError
from adclick_runtime.images.strips import strips
from adclick_runtime.images.transparency import on_white

Pixels = NDArray[np.uint8]

FULL_SCALE = 65535

_BRIGHT = 0.01  # share of an image's values that may be white: reflections, hot pixels
_DAZZLED = 0.25  # share from which on the rest of an image says little


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

    def page(self, white: int = FULL_SCALE) -> Pixels:
        """(H, W, 3) uint8 RGB of all of it, on white where it is transparent."""
        pixels = np.empty((*self.values.shape[:2], 3), np.uint8)
        for rows in strips(len(pixels)):
            part = self.shown(white, rows)
            pixels[rows] = part if part.shape[2] == 3 else on_white(part)
        return pixels

    @classmethod
    def of_opencv(
        cls, values: NDArray[Any], alpha: Pixels | None = None, *, zero_is_white: bool = False
    ) -> DeepImage:
        """What OpenCV read with all its bits: grey (H, W), BGR (H, W, 3) or BGRA (H, W, 4).

        Args:
            values: numbers of any type that lie within 16 bits.
            alpha: see `DeepImage`; of BGRA the fourth channel by default, of which 65535 is opaque.
            zero_is_white: see `DeepImage`.

        Raises:
            ImageError: they are floating-point numbers, or do not lie within 16 bits.
        """
        deep = sixteen_bit(values)
        if deep.ndim == 2:
            return cls(deep, alpha, zero_is_white)
        if deep.shape[2] == 4 and alpha is None:
            alpha = np.empty(deep.shape[:2], np.uint8)
            for rows in strips(len(alpha)):
                part = np.ascontiguousarray(deep[rows, :, 3])
                alpha[rows] = cv2.convertScaleAbs(part, alpha=255 / FULL_SCALE)
        return cls(deep[..., 2::-1], alpha, zero_is_white)  # not copied: it may be a gigabyte

    def turned(self, turn: Callable[[Any], Any]) -> DeepImage:
        """The same image turned, see `adclick_runtime.images.upright.turn`."""
        alpha = None if self.alpha is None else turn(self.alpha)
        return replace(self, values=turn(np.ascontiguousarray(self.values)), alpha=alpha)

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
