"""From the network's logits to the mask that a person is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.clicks import CLICK_RADIUS, Click
from model.features.encoding import Frame

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]

NEIGHBOURHOOD = 12
"""Working pixels round a "not this" in which a part of the mask counts as meant by it."""

SMOOTHING = 2.0
"""Standard deviation, in working pixels, of the blur of the logits before they are cut: masks without frayed edges."""

SMALLEST_PART = 0.2
"""Parts of a mask smaller than this share of its largest part, which nobody clicked, are specks."""

LARGEST_HOLE = 0.1
"""Holes smaller than this share of the mask, into which nobody clicked "not this", are closed."""

SURE = 9.2
"""Logits are cut off here: what is sure does not become surer by being far from the border."""


def smoothed(logits: Map) -> Map:
    """Logits (H, W) without what would fray the border of a mask."""
    return np.asarray(cv2.GaussianBlur(np.clip(logits, -SURE, SURE), (0, 0), SMOOTHING), np.float32)


def settled(logits: Map, frame: Frame, clicks: Sequence[Click]) -> Map:
    """Logits whose cut at 0 is the mask: without specks and holes that nobody asked for.

    The neighbourhood of each click is what the click said (Eq. 8).

    Args:
        logits: (frame.height, frame.width) float32, :func:`smoothed`.
        frame: working frame.
        clicks: in image pixels.

    Returns:
        The same size; negative everywhere when there is no positive click.
    """
    if not any(c.positive for c in clicks):
        return np.minimum(logits, -1.0)
    logits = logits.copy()
    places = {
        positive: [place_of(c, frame) for c in clicks if c.positive == positive] for positive in (True, False)
    }
    if places[False]:
        refused = _refused_parts(logits > 0, places[True], places[False])
        logits[refused] = np.minimum(logits[refused], -1.0)
    for positive, near in places.items():
        for x, y in near:
            _settle(logits, x, y, positive)
    inside = logits > 0
    logits[_minor_parts(~inside, LARGEST_HOLE * inside.sum(), places[False], connectivity=4)] = 1.0
    inside = logits > 0
    logits[_minor_parts(inside, SMALLEST_PART * _largest(inside), places[True], connectivity=8)] = -1.0
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


def _settle(logits: Map, x: int, y: int, positive: bool) -> None:
    """Let the pixels round a click say what the click said, in place."""
    near = np.zeros(logits.shape, np.uint8)
    cv2.circle(near, (x, y), int(CLICK_RADIUS), 1, -1)
    here = near > 0
    logits[here] = np.maximum(logits[here], 1.0) if positive else np.minimum(logits[here], -1.0)


def _refused_parts(mask: Mask, wanted: Sequence[tuple[int, int]], refused: Sequence[tuple[int, int]]) -> Mask:
    """The pixels of the parts of a mask at which somebody clicked "not this", and in which nobody clicked "this"."""
    labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)[1]
    kept = {int(labels[y, x]) for x, y in wanted}
    near = {
        int(number) for x, y in refused for number in np.unique(surroundings(labels, x, y, NEIGHBOURHOOD))
    }
    return np.asarray(np.isin(labels, list(near - kept - {0})))


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
