"""The places of an image that may be like an example, and the parts under them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.clicks import Click
from model.interactive.answer import Look
from model.interactive.parts import Part, View, cut_parts, side_for
from model.interactive.predictor import Predictor
from model.interactive.zoom import Window, window_for
from model.language.vocabulary import Words

SMALL = 12.0
"""Working pixels: a part that extends less far is looked at from near, if the image has more to show. A window takes
the time of a few clicks."""


def likest_places(
    maps: Sequence[NDArray[np.float32]], areas: Sequence[int], frame: Frame, least: float, most: int
) -> list[Click]:
    """The places that are likest to an example within the radius of one, as clicks in image pixels, the likest first.

    Args:
        maps: of each example, (h, w) float32 on the stride-4 grid: 1 where a cell is like it.
        areas: of each example, image pixels.
        frame: working frame.
        least: likeness from which on a place counts.
        most: so many places at most.
    """
    sx, sy = frame.scale_xy
    best = np.full(maps[0].shape, -np.inf, np.float32)
    radii = [math.sqrt(area * sx * sy / math.pi) / 4 for area in areas]  # in cells
    for like, radius in zip(maps, radii, strict=True):
        smooth = cv2.GaussianBlur(like, (0, 0), radius / 2) if radius > 0.6 else like
        np.maximum(best, smooth, out=best)
    reach = 2 * max(1, round(min(radii))) + 1
    highest = cv2.dilate(best, np.ones((reach, reach), np.uint8))
    rows, columns = np.nonzero((best >= highest) & (best > least))
    order = np.argsort(-best[rows, columns], kind="stable")[:most]
    return [Click((4 * int(columns[i]) + 2) / sx, (4 * int(rows[i]) + 2) / sy, True) for i in order]


def cut_at(
    predictor: Predictor,
    whole: View,
    points: Sequence[Click],
    extent: float,
    look: Look,
    words: Words | None,
    windows: int,
) -> list[Part]:
    """The part under each point; what is small is seen from near, as after a click on it.

    Args:
        predictor: the network.
        whole: the whole image.
        points: in image pixels, the likest first.
        extent: longer side of what is looked for, image pixels.
        look: opens a window.
        words: for the defect.
        windows: so many are opened at most; what lies in none is cut from the whole image.
    """
    left, found = list(points), list[Part | None]()
    small = extent * max(whole.frame.scale_xy) < SMALL
    for _ in range(windows if small else 0):
        window = _window(predictor, left[0], extent, whole.frame) if left else None
        if window is None:
            break
        frame = Frame.of(window.height, window.width, predictor.config.zoom.side)
        near = View(look(window), frame, window.top, window.left)
        inside = [point for point in left if window.holds(point)]
        found += cut_parts(predictor, near, inside, side_for(extent * max(frame.scale_xy)), words)
        left = [point for point in left if not window.holds(point)]
    found += cut_parts(predictor, whole, left, side_for(extent * max(whole.frame.scale_xy)), words)
    return [part for part in found if part is not None]


def _window(predictor: Predictor, point: Click, extent: float, frame: Frame) -> Window | None:
    """The window in which a part of that size round a point is looked at closely; None when the image shows enough."""
    half = extent / 2
    box = point.y - half, point.x - half, point.y + half, point.x + half
    shape = frame.image_height, frame.image_width
    return window_for(box, [point], shape, predictor.long_side, None, predictor.config.zoom)
