"""Zoom: the part of an image in which a defect is looked at closely, and the result put back in its place.

An image of twelve megapixels shrinks eightfold on its way to the network, and a defect of twenty pixels is gone. From
the first click on, the network therefore looks a second time, at a window of the original pixels round clicks and mask
(RITM's and SimpleClick's "zoom-in", with the residual of that window against the same window of the references).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from model.checkpoint.ranges import COUNT, NONE_OR_MORE, POSITIVE, SHARE, Range, check
from model.clicks import Click

_MAGNIFICATION = Range(
    lambda n: n > 0, "is out of range, it takes a number above 0, inf for no window at all"
)
_LOGIT_OUTSIDE = Range(lambda n: -math.inf < n < 0, "is out of range, it takes a number below 0: no mask")


@dataclass(frozen=True)
class ZoomConfig:
    """When a window is opened, how large it is, and at what size it is looked at.

    The network needs surroundings to compare with, so there is room round clicks and mask; closer than the smallest
    window there is nothing but blur. An open window costs nothing, so it is kept until clicks and mask leave it or ask
    for a much smaller one.
    """

    side: int = 320  # longer side, in pixels, at which a window is looked at
    room: float = 2.0  # how much larger than clicks and mask a window is
    smallest: int = 320  # image pixels that a window spans at least: as many as it is looked at with
    worthwhile: float = 1.25  # a window is opened when it shows at least this much more than the whole image
    kept: float = 0.55  # it stays open while the one asked for has more than this part of its side,
    margin: float = 0.1  # and clicks and mask stay this part of its side away from its border
    most_expected: int = 2  # windows opened before the first click: each takes the time of a few clicks
    outside: float = -0.04  # logits of the whole image are at most so high outside of a window

    def __post_init__(self) -> None:
        check(
            self,
            {
                "side": COUNT,
                "room": POSITIVE,
                "smallest": COUNT,
                "worthwhile": _MAGNIFICATION,
                "kept": SHARE,
                "margin": SHARE,
                "most_expected": NONE_OR_MORE,
                "outside": _LOGIT_OUTSIDE,
            },
        )


ZOOM = ZoomConfig()

Scalar = TypeVar("Scalar", bound=np.generic)


class Window(NamedTuple):
    """A part of an image, in whole image pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, image: NDArray[Scalar]) -> NDArray[Scalar]:
        """The part of an image (H, W, ...) that lies in the window; a view."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]

    def of_size(self, shape: Sequence[int], other: Sequence[int]) -> Window:
        """The same part of an image of the size ``other`` (height, width) as this is of one of size ``shape``."""
        down, across = other[0] / shape[0], other[1] / shape[1]
        height, width = max(1, round(self.height * down)), max(1, round(self.width * across))
        top, left = round(self.top * down), round(self.left * across)
        return Window(min(top, other[0] - height), min(left, other[1] - width), height, width)

    def holds(self, click: Click) -> bool:
        """Whether a click (image pixels) lies inside."""
        return 0 <= click.y - self.top < self.height and 0 <= click.x - self.left < self.width

    def inside(self, clicks: Sequence[Click]) -> list[Click]:
        """The clicks that lie inside, in the window's own pixels."""
        return [Click(c.x - self.left, c.y - self.top, c.positive) for c in clicks if self.holds(c)]


Box = tuple[float, float, float, float]
"""Top, left, bottom, right, in image pixels."""


def window_for(
    extent: Box | None,
    clicks: Sequence[Click],
    shape: tuple[int, int],
    long_side: int,
    before: Window | None = None,
    config: ZoomConfig = ZOOM,
) -> Window | None:
    """Where to look closely.

    Args:
        extent: of what the network took for the defect when it saw the whole image; None when that was nothing.
        clicks: in image pixels.
        shape: height and width of the image.
        long_side: longer side, in pixels, at which the network saw the whole image.
        before: the window of the click before, kept if it still fits: a window that is open costs nothing.
        config: when to open one, and how large.

    Returns:
        None when the defect is large enough to be seen in the whole image, or there is no positive click.
    """
    boxes = [(c.y, c.x, c.y, c.x) for c in clicks if c.positive]
    if not boxes:
        return None
    tops, lefts, bottoms, rights = zip(*boxes, *([extent] if extent else []), strict=True)
    box = top, left, bottom, right = min(tops), min(lefts), max(bottoms), max(rights)
    side = max(config.smallest, config.room * max(bottom - top, right - left))
    if side * long_side * config.worthwhile > config.side * max(shape):
        return None
    if before is not None and _still_fits(before, box, side, config):
        return before
    height, width = min(round(side), shape[0]), min(round(side), shape[1])
    row = min(max(0, round((top + bottom - height) / 2)), shape[0] - height)
    column = min(max(0, round((left + right - width) / 2)), shape[1] - width)
    return Window(row, column, height, width)


def expected_windows(mask: NDArray[np.bool_], long_side: int, config: ZoomConfig = ZOOM) -> list[Window]:
    """Where a first click will probably have to look closely.

    Args:
        mask: (H, W), what was taken for a defect before anybody clicked, in image pixels.
        long_side: longer side, in pixels, at which the network sees the whole image.
        config: how many, when, and how large.

    Returns:
        Windows round the largest parts of the mask, ``config.most_expected`` at most; none where the whole image
        shows enough.
    """
    statistics = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)[2][1:]
    windows = []
    largest = sorted(statistics.tolist(), key=lambda part: -part[4])[: config.most_expected]
    for left, top, width, height, _ in largest:
        middle = Click(left + width / 2, top + height / 2, True)
        box = top, left, top + height, left + width
        window = window_for(box, [middle], (mask.shape[0], mask.shape[1]), long_side, config=config)
        if window is not None and window not in windows:
            windows.append(window)
    return windows


def _still_fits(window: Window, box: Box, side: float, config: ZoomConfig) -> bool:
    """Whether a box lies well inside a window that is not much too large for it."""
    top, left, bottom, right = box
    margin = config.margin * max(window.height, window.width)
    return (
        window.top + margin * (window.top > 0) <= top
        and window.left + margin * (window.left > 0) <= left
        and bottom <= window.top + window.height - margin
        and right <= window.left + window.width - margin
        and side > config.kept * max(window.height, window.width)
    )
