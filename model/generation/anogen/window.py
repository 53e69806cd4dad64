"""The square window of an image round a box, in which a defect is painted, and the way there and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

SURROUNDINGS = 2.0
"""Side of the window, in longer sides of the box: as much as that is seen of what is round it."""

SMALLEST = 32
"""Pixels of an image that a window has at least: less would be smooth, however small the defect."""


@dataclass(frozen=True)
class Box:
    """Where a defect is painted, in pixels of the image: columns from ``left`` to before ``right``, rows alike."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Box:
        """The box of a mask (H, W), which is not empty."""
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        return cls(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return self.left, self.top, self.right, self.bottom

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top

    def mask(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """(H, W) bool, true inside."""
        inside = np.zeros(shape, bool)
        inside[self.top : self.bottom, self.left : self.right] = True
        return inside


@dataclass(frozen=True)
class Window:
    """A square of an image, which may reach over its edges.

    Attributes:
        x: column of its left edge, in pixels of the image; may be negative.
        y: row of its upper edge.
        side: its length, in pixels of the image.
    """

    x: float
    y: float
    side: float

    @classmethod
    def round(cls, box: Box, shape: tuple[int, int], surroundings: float = SURROUNDINGS) -> Window:
        """The window round a box; it stays in an image of the shape (H, W) where it can."""
        height, width = shape
        side = max(surroundings * max(box.width, box.height), float(SMALLEST))
        side = max(min(side, float(min(height, width))), float(max(box.width, box.height)))
        x, y = (box.left + box.right - side) / 2, (box.top + box.bottom - side) / 2
        return cls(_held(x, side, width), _held(y, side, height), side)

    def inside(self, box: Box, size: int) -> Box:
        """A box of the image, in pixels of the window's crop; at least one pixel, and not beyond the crop."""
        scale = size / self.side
        left, top = (
            max(0, min(size - 1, math.floor(edge)))
            for edge in ((box.left - self.x) * scale, (box.top - self.y) * scale)
        )
        right, bottom = ((box.right - self.x) * scale, (box.bottom - self.y) * scale)
        return Box(
            left, top, max(left + 1, min(size, math.ceil(right))), max(top + 1, min(size, math.ceil(bottom)))
        )

    def cut(self, image: NDArray[np.generic], size: int) -> Floats:
        """The window of an image (H, W) or (H, W, C), brought to ``size`` x ``size``; mirrored beyond the edges."""
        scale = size / self.side
        odd = max(1, round(1 / scale) | 1) if scale < 0.75 else 1  # many pixels become one: they are averaged
        seen = [
            _reached(start, self.side, odd + 2, length)
            for start, length in zip((self.x, self.y), image.shape[1::-1], strict=True)
        ]
        (left, right), (top, bottom) = seen
        part = image[top:bottom, left:right]
        exact: NDArray[np.uint8] | Floats = (
            np.asarray(part, np.uint8) if part.dtype == np.uint8 else np.asarray(part, np.float32)
        )
        mean = cv2.boxFilter(exact, cv2.CV_32F, (odd, odd))
        x, y = self.x - left, self.y - top
        there = np.array([[scale, 0, -scale * x + (scale - 1) / 2], [0, scale, -scale * y + (scale - 1) / 2]])
        cut = cv2.warpAffine(
            mean, there, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.asarray(cut, np.float32)

    def picture(self, image: Image, size: int) -> Image:
        """The window of an image (H, W, C) uint8, as :meth:`cut` has it, in uint8."""
        return np.clip(np.rint(self.cut(image, size)), 0, 255).astype(np.uint8)

    def spread(self, crop: Floats, shape: tuple[int, int]) -> Floats:
        """A crop (S, S) or (S, S, C) at its place in an image of the shape (H, W); 0 elsewhere."""
        height, width = shape
        scale = self.side / crop.shape[0]
        margin = 3 * math.ceil(scale)  # as far as the cubic reaches
        left, top = (max(0, math.floor(start) - margin) for start in (self.x, self.y))
        right = min(width, math.ceil(self.x + self.side) + margin)
        bottom = min(height, math.ceil(self.y + self.side) + margin)
        x, y = self.x - left, self.y - top
        back = np.array([[scale, 0, x + (scale - 1) / 2], [0, scale, y + (scale - 1) / 2]])
        spread = np.zeros((height, width, *crop.shape[2:]), np.float32)
        spread[top:bottom, left:right] = cv2.warpAffine(
            crop, back, (right - left, bottom - top), flags=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
        )
        return spread


def _reached(start: float, side: float, margin: int, length: int) -> tuple[int, int]:
    """First and last+1 pixel of a row of ``length`` that a window from ``start`` on sees, mirrored ones too."""
    first, last = math.floor(start) - margin, math.ceil(start + side) + margin
    before, after = max(0, -first), max(0, last - length)
    return max(0, min(first, length - 1 - after)), min(length, max(last, before + 1))


def _held(start: float, side: float, length: int) -> float:
    """The start of a window that does not leave an image for nothing."""
    return min(max(start, 0.0), length - side) if side <= length else (length - side) / 2
