"""From the network's logits to the mask that a person is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.checkpoint.ranges import NONE_OR_MORE, POSITIVE, SHARE, check
from model.clicks import CLICK_RADIUS, Click

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]

SURE = 9.2
"""Logits are cut off here: what is sure does not become surer by being far from the border."""


@dataclass(frozen=True)
class MaskConfig:
    """What a mask is cleaned of: frayed edges, and the specks and holes that nobody clicked."""

    smoothing: float = 2.0  # standard deviation, in working pixels, of the blur of the logits before the cut
    neighbourhood: int = 12  # working pixels round a "not this" in which a part of the mask is meant by it
    smallest_part: float = 0.2  # a part smaller than this share of the largest one is a speck
    largest_hole: float = 0.1  # a hole smaller than this share of the mask is closed

    def __post_init__(self) -> None:
        check(
            self,
            {
                "smoothing": POSITIVE,
                "neighbourhood": NONE_OR_MORE,
                "smallest_part": SHARE,
                "largest_hole": SHARE,
            },
        )


MASK = MaskConfig()


def smoothed(logits: Map, config: MaskConfig = MASK) -> Map:
    """Logits (H, W) without what would fray the border of a mask."""
    return np.asarray(cv2.GaussianBlur(np.clip(logits, -SURE, SURE), (0, 0), config.smoothing), np.float32)


def settled(logits: Map, frame: Frame, clicks: Sequence[Click], config: MaskConfig = MASK) -> Map:
    """Logits whose cut at 0 is the mask: without specks and holes that nobody asked for.

    The neighbourhood of each click is what the click said (Eq. 8).

    Args:
        logits: (frame.height, frame.width) float32, :func:`smoothed`.
        frame: working frame.
        clicks: in image pixels.
        config: what counts as a speck or a hole, and what a "not this" takes away.

    Returns:
        The same size.
    """
    logits = logits.copy()
    places = {
        positive: [place_of(c, frame) for c in clicks if c.positive == positive] for positive in (True, False)
    }
    if places[False]:
        refused = _refused_parts(logits > 0, places[True], places[False], config.neighbourhood)
        logits[refused] = np.minimum(logits[refused], -1.0)
    for positive, near in places.items():
        for x, y in near:
            _settle(logits, x, y, positive)
    inside = logits > 0
    hole = config.largest_hole * inside.sum()
    logits[_minor_parts(~inside, hole, places[False], connectivity=4)] = 1.0
    inside = logits > 0
    speck = config.smallest_part * _largest(inside)
    logits[_minor_parts(inside, speck, places[True], connectivity=8)] = -1.0
    return logits


def enlarged(logits: Map, frame: Frame) -> Mask:
    """(frame.image_height, frame.image_width): the mask whose border is that of the smoothly enlarged logits."""
    size = frame.image_width, frame.image_height
    return np.asarray(cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR) > 0)


def place_of(click: Click, frame: Frame) -> tuple[int, int]:
    """The working pixel (column, row) of a click."""
    sx, sy = frame.scale_xy
    return min(int(click.x * sx), frame.width - 1), min(int(click.y * sy), frame.height - 1)


def surroundings(maps: NDArray[Any], x: int, y: int, reach: int) -> NDArray[Any]:
    """The part of ``maps`` (h, w) within ``reach`` of a cell, which may lie outside; a view."""
    return maps[max(0, y - reach) : max(0, y + reach + 1), max(0, x - reach) : max(0, x + reach + 1)]


def unconfirmed(labels: NDArray[Any], parts: set[int], wanted: Sequence[tuple[int, int]]) -> Mask:
    """The pixels of those parts of a mask in which nobody clicked "this".

    Args:
        labels: (h, w) int, the number of the part that a pixel is of, 0 outside of the mask.
        parts: numbers of the parts that may be meant.
        wanted: places (column, row) that were clicked with "this".
    """
    confirmed = {int(labels[y, x]) for x, y in wanted}
    return np.asarray(np.isin(labels, list(parts - confirmed - {0})))


def _settle(logits: Map, x: int, y: int, positive: bool) -> None:
    """Let the pixels round a click say what the click said, in place."""
    near = np.zeros(logits.shape, np.uint8)
    cv2.circle(near, (x, y), int(CLICK_RADIUS), 1, -1)
    here = near > 0
    logits[here] = np.maximum(logits[here], 1.0) if positive else np.minimum(logits[here], -1.0)


def _refused_parts(
    mask: Mask, wanted: Sequence[tuple[int, int]], refused: Sequence[tuple[int, int]], reach: int
) -> Mask:
    """The pixels of the parts of a mask within ``reach`` of a "not this", and in which nobody clicked "this"."""
    labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[1]
    near = {int(number) for x, y in refused for number in np.unique(surroundings(labels, x, y, reach))}
    return unconfirmed(labels, near, wanted)


def _largest(mask: Mask) -> int:
    """Pixels of the largest part of a mask."""
    statistics = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[2]
    return int(statistics[1:, cv2.CC_STAT_AREA].max(initial=0))


def _minor_parts(mask: Mask, area: float, clicked: Sequence[tuple[int, int]], connectivity: int) -> Mask:
    """The pixels of the parts of a mask that are smaller than ``area`` and hold no clicked pixel."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=connectivity
    )
    minor = statistics[:, cv2.CC_STAT_AREA] < area
    minor[0] = False
    for x, y in clicked:
        minor[labels[y, x]] = False
    return np.asarray(minor[labels])
