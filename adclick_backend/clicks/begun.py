"""A mask that was there before the first click on it, and that clicks correct."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from adclick_backend.brush.rle import BrushError, decode_rle, encode_rle
from model.clicks import Click


@dataclass(frozen=True, eq=False)
class Begun:
    """A region as it was before anybody clicked.

    Attributes:
        region_id: its id, which the answers keep, so that they take its place.
        label: what it is labelled.
        mask: (H, W) bool, in the frame of the clicks; not empty.
    """

    region_id: str
    label: str
    mask: NDArray[np.bool_]

    def distance(self, click: Click) -> float:
        """Pixels from a click to the nearest pixel of the mask, 0 inside."""
        rows, columns = self._pixels
        return float(np.hypot(columns - int(click.x), rows - int(click.y)).min())

    def packed(self) -> bytes:
        """The mask, to be kept."""
        return zlib.compress(bytes(encode_rle(self.mask)), 1)

    @cached_property
    def _pixels(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the mask."""
        rows, columns = np.nonzero(self.mask)
        return rows, columns


def unpacked(mask: bytes, height: int, width: int) -> NDArray[np.bool_] | None:
    """What `Begun.packed` made of a mask of height x width pixels; None for b"", and for what is damaged."""
    try:
        return decode_rle(zlib.decompress(mask), width, height) if mask else None
    except (zlib.error, BrushError):
        return None
