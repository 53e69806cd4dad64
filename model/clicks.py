"""Simulated clicks, for training and for measuring."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

CLICK_RADIUS = 3.0
"""ρ of Eq. 8, in pixels of the working frame: so near to a click the person has said what it is."""


Answer = TypeVar("Answer")


class Click(NamedTuple):
    """A click in pixels of the map it belongs to: x right, y down, pixel (i, j) covers [i, i + 1) x [j, j + 1)."""

    x: float
    y: float
    positive: bool


def next_click(
    target: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    clicked: Sequence[tuple[float, float, bool]],
    rng: np.random.Generator | None = None,
    jitter: float = 0.0,
) -> Click | None:
    """Where a person would click next: the middle of the largest error.

    The deepest pixel (largest distance to the border of the error region, the image border counting as border) of
    false negatives or false positives, whichever is deeper; false positives on a tie. Pixels clicked before are
    left out. (SimpleClick's evaluation protocol.)

    Args:
        target: (H, W) true mask.
        prediction: (H, W) present mask.
        clicked: the clicks so far.
        rng: needed with ``jitter``.
        jitter: standard deviation in pixels of a hand that does not hit the exact middle. A jittered click that
            leaves the error region falls back on a random pixel of its inner half.

    Returns:
        A click at a pixel's centre, or None when there is no error left to click.
    """
    free = np.ones(target.shape, bool)
    for x, y, _ in clicked:
        free[int(y), int(x)] = False
    missing, excess = (_depth(region) * free for region in (target & ~prediction, prediction & ~target))
    positive = missing.max() > excess.max()
    depth = missing if positive else excess
    if depth.max() <= 0:
        return None
    row, column = (int(i) for i in np.unravel_index(int(depth.argmax()), depth.shape))
    if jitter and rng is not None:
        jy, jx = round(row + rng.normal(0, jitter)), round(column + rng.normal(0, jitter))
        if 0 <= jy < depth.shape[0] and 0 <= jx < depth.shape[1] and depth[jy, jx] > 0:
            row, column = jy, jx
        else:
            row, column = random_inner(depth, rng)
    return Click(column + 0.5, row + 0.5, bool(positive))


def simulate_clicks(
    target: NDArray[np.bool_],
    answer: Callable[[Sequence[Click], Answer | None], Answer],
    mask_of: Callable[[Answer], NDArray[np.bool_]],
    rng: np.random.Generator | None = None,
    jitter: float = 0.0,
) -> Iterator[tuple[list[Click], Answer]]:
    """Click the middle of the largest error, and again in the answer to that, until no error is left.

    Args:
        target: (H, W) true mask.
        answer: to some clicks, oldest first, given the answer to all of them but the newest, if there was one.
        mask_of: (H, W) mask of an answer.
        rng: see :func:`next_click`.
        jitter: see :func:`next_click`.

    Yields:
        The clicks so far and the answer to them, after each click.
    """
    clicks: list[Click] = []
    found: Answer | None = None
    mask = np.zeros_like(target)
    while (click := next_click(target, mask, clicks, rng, jitter)) is not None:
        clicks = [*clicks, click]
        found = answer(clicks, found)
        mask = mask_of(found)
        yield clicks, found


def random_inner(depth: NDArray[np.float32], rng: np.random.Generator, share: float = 0.5) -> tuple[int, int]:
    """A random (row, column) among the pixels deeper than ``share`` of the deepest one."""
    rows, columns = np.nonzero(depth > share * depth.max())
    i = int(rng.integers(len(rows)))
    return int(rows[i]), int(columns[i])


def _depth(region: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance (H, W) float32 of each pixel of a region to its border, in pixels; 0 outside."""
    padded = np.pad(region.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    # Squared distances are whole numbers. OpenCV's last digit depends on where in memory the result happens to lie, and
    # would now and then choose another one of several pixels that are equally deep.
    return np.asarray(np.sqrt(np.rint(np.square(depth, dtype=np.float64))), np.float32)
