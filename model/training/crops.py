"""Training crops on the stride-16 grid: where they lie in an image, and what of a map lies in them."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from model.checkpoint.ranges import COUNT, NOT_NEGATIVE, Range, check_value, refused

SIDE = Range(
    lambda n: n >= 16 and n % 16 == 0,
    "is no side of a crop, which is a multiple of 16 from 16 on",
    whole=True,
)
"""Stride-2 cells: the networks go down to stride 32."""


class Maps(Protocol):
    """Maps (C, h, w) of which a part can be taken: an array, or a tensor of a file that is not read as a whole."""

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> NDArray[np.generic]: ...


class Crop(NamedTuple):
    """A square of an image, in stride-2 cells; what of it lies outside of the image is empty.

    Attributes:
        top, left: where it begins, multiples of 8.
        bottom, right: where it or the image ends.
        size: its side.
    """

    top: int
    left: int
    bottom: int
    right: int
    size: int

    @classmethod
    def drawn(cls, defect: NDArray[np.bool_], size: int, share: float, rng: np.random.Generator) -> Crop:
        """A crop of an image.

        Args:
            defect: (H, W) in working pixels: where the image shows a defect.
            size: side of the crop in stride-2 cells, a multiple of 8.
            share: how often, if there is a defect, a random pixel of it lies in the crop; else any place does.
            rng: source of all randomness.
        """
        h, w = defect.shape[0] // 2, defect.shape[1] // 2
        y, x = int(rng.integers(h)), int(rng.integers(w))
        pixels = np.flatnonzero(defect)
        if len(pixels) and rng.random() < share:
            row, column = divmod(int(pixels[rng.integers(len(pixels))]), defect.shape[1])
            y, x = row // 2, column // 2
        top, left = _start(y, size, h, rng), _start(x, size, w, rng)
        return cls(top, left, min(top + size, h), min(left + size, w), size)

    def of(self, maps: Maps, stride: int, fill: float = 0.0) -> NDArray[np.float32]:
        """(C, s, s) float32: what of ``maps`` (C, h, w) of a stride up to 16 lies in the crop, the rest ``fill``."""
        rows, columns = (
            slice(2 * first // stride, 2 * last // stride)
            for first, last in ((self.top, self.bottom), (self.left, self.right))
        )
        part, side = maps[:, rows, columns], 2 * self.size // stride
        out = np.full((len(part), side, side), fill, np.float32)
        out[:, : part.shape[1], : part.shape[2]] = part
        return out


def _start(centre: int, size: int, side: int, rng: np.random.Generator) -> int:
    """Where a crop begins: it holds ``centre`` at a random place, lies inside, and fits the stride-16 grid.

    For the grid it begins up to seven cells earlier, and from 56 cells on it still holds ``centre``.
    """
    start = centre - int(rng.integers(size // 8, size - size // 8))
    return max(0, min(start, side - size)) // 8 * 8


def check_crops(settings: object, crops: tuple[tuple[int, int, float], ...]) -> None:
    """See that the field ``crops`` of ``settings``, (side, samples a step, share of steps) each, can be trained with.

    Raises:
        ValueError: it cannot; the message says why.
    """
    for crop in crops:
        for value, allowed in zip(crop, (SIDE, COUNT, NOT_NEGATIVE), strict=True):
            check_value(settings, "crops", value, allowed)
    if not any(share > 0 for *_, share in crops):
        raise refused(settings, "crops", "the shares add up to 0, at least one has to be above 0")
