"""An image into the form in which it is compared: its colours and its features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.frame import colours, to_working_frame
from adclick_runtime.networks import Network
from adclick_runtime.resizing import antialiased, cubic, pooled, resized

Map = NDArray[np.float32]

BLOCKS = 6
"""Of each side of an image, whose mean features describe it."""

STRIDES = (2, 4, 8, 16)
"""Of the feature maps."""

PATCH, CELL = 14, 16
"""A patch of the transformer, which looks at the image at 14/16 of its size, is a cell of stride 16."""


@dataclass(frozen=True)
class Features:
    """What is known of an image before it is compared.

    Attributes:
        colour: (h2, w2, 3) float32 in [0, 1], CIELAB, on the stride-2 grid of the working frame.
        maps: stride -> (C, h, w) float32, the features as the backbone gives them.
        joint: (h8, w8, D) float32, the features of strides 4, 8 and 16 one behind the other on the stride-8 grid, each
            the mean over 3 x 3 cells.
    """

    colour: Map
    maps: dict[int, Map]
    joint: Map

    @property
    def channels(self) -> tuple[int, int, int]:
        """Of the features of strides 4, 8 and 16 in ``joint``."""
        four, eight, sixteen = (len(self.maps[stride]) for stride in (4, 8, 16))
        return four, eight, sixteen

    @cached_property
    def fine(self) -> Map:
        """(h4, w4, C): the features of stride 4."""
        return np.ascontiguousarray(self.maps[4].transpose(1, 2, 0))

    @cached_property
    def descriptor(self) -> Map:
        """(D,): the mean stride-8 features of 6 x 6 blocks, block by block, by which references are retrieved."""
        maps = self.maps[8]
        _, height, width = maps.shape
        blocks = resized(maps, pooled(height, BLOCKS), pooled(width, BLOCKS))
        return np.ascontiguousarray(blocks.reshape(len(maps), -1).T).ravel()


class Eyes:
    """What sees images: a backbone at one working size.

    Args:
        network: the backbone.
        long_side: of the working frame, pixels.
        places: (1 + n * n, C), the learned positions of its transformer; None for a backbone without one.
    """

    def __init__(self, network: Network, long_side: int, places: Map | None):
        self._network, self._long_side, self._places = network, long_side, places
        self._stretched: dict[tuple[int, int], Map] = {}

    def encode(self, image: NDArray[np.uint8]) -> Features:
        """The features of an image (H, W, 3) uint8 RGB."""
        frame = to_working_frame(image, self._long_side)
        rgb = np.ascontiguousarray(frame.transpose(2, 0, 1), np.float32)
        inputs = {"rgb": rgb[None]}
        if self._places is not None:
            rows, columns = (side // CELL for side in frame.shape[:2])
            smaller = resized(
                rgb, antialiased(len(frame), rows * PATCH), antialiased(frame.shape[1], columns * PATCH)
            )
            inputs |= {"smaller": smaller[None], "places": self._at(rows, columns, self._places)}
        found = self._network(inputs)
        maps = {stride: found[f"stride{stride}"][0] for stride in STRIDES}
        return Features(colours(frame).astype(np.float32) / np.float32(255), maps, found["joint"])

    def _at(self, rows: int, columns: int, places: Map) -> Map:
        """(1, 1 + rows * columns, C): the positions on another grid than the one that they were learned on."""
        if (rows, columns) not in self._stretched:
            side = round((len(places) - 1) ** 0.5)
            grid = places[1:].reshape(side, side, -1).transpose(2, 0, 1)
            there = (
                grid
                if (rows, columns) == (side, side)
                else resized(grid, cubic(side, rows), cubic(side, columns))
            )
            cells = there.reshape(len(there), -1).T
            self._stretched = {(rows, columns): np.concatenate([places[:1], cells])[None]}
        return self._stretched[rows, columns]
