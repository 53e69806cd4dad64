"""The size at which the networks see an image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """The working frame of an image: the size at which the networks see it.

    The image is scaled so that its longer side is ``long_side``; both sides are rounded to multiples of 32, so the
    two axes may differ in scale by a few percent. A point maps by ``scale_xy``, pixel *areas* map onto pixel areas:
    the centre (0.5, 0.5) of the first image pixel is not the centre of the first working pixel.
    """

    image_height: int
    image_width: int
    height: int
    width: int

    @classmethod
    def of(cls, image_height: int, image_width: int, long_side: int) -> Frame:
        """The frame of an image of the given size in pixels."""
        scale = long_side / max(image_height, image_width)
        height, width = (max(64, round(side * scale / 32) * 32) for side in (image_height, image_width))
        return cls(image_height, image_width, height, width)

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Working pixels per image pixel, along x and y."""
        return self.width / self.image_width, self.height / self.image_height


def to_working_frame(image: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    """An image (H, W, 3), RGB, uint8, at the size of its :class:`Frame`."""
    frame = Frame.of(image.shape[0], image.shape[1], long_side)
    how = cv2.INTER_AREA if frame.width < image.shape[1] else cv2.INTER_LINEAR
    resized = cv2.resize(image, (frame.width, frame.height), interpolation=how)
    return np.ascontiguousarray(resized, np.uint8)


def colours(resized: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """CIELAB (h / 2, w / 2, 3) uint8 of an image in its working frame, at half the size."""
    height, width = resized.shape[:2]
    half = cv2.resize(resized, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(half, cv2.COLOR_RGB2LAB), np.uint8)
