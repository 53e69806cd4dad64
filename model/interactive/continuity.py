"""Continuity: a click changes what it is near to and what it explains, and everything else stays as it was.

A person clicks in the middle of what is wrong about the mask they see. "This" says that something is missing there,
and nothing of what is too much; "not this" the other way round. And the middle of an error tells how far it reaches: a
piece that is too much is about as wide as the click lies deep in the mask, and a piece that is missing as far as it
lies from it. What the newest map changes beyond that is not what the click was about, unless the map is sure and its
answer is as a whole the better one, by the IoU to expect of it: a click can tell of places far away what they are.

Most people who point at a spot beside a defect mean all of it. When most of a part goes that nobody clicked "this" in,
all of it does; not before there is a "this", for then the part is a proposal of which some may be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from adclick_runtime.frame import Frame
from model.checkpoint.ranges import NONE_OR_MORE, POSITIVE, SHARE, check
from model.clicks import CLICK_RADIUS, Click
from model.interactive.mask import Map, Mask, place_of, surroundings, unconfirmed


@dataclass(frozen=True)
class ContinuityConfig:
    """What a click may change of the mask that it was made at. People miss, by ``near``."""

    near: int = 3  # working pixels round a click of which the deepest one counts
    adds: float = 6.0  # "this" adds so many times as far as the click lies from the mask shown
    removes: float = 1.5  # "not this" removes so many times as far as it lies deep in the mask shown
    middle: float = 0.8  # as deep as this share of its deepest place lies a click in the middle of a part
    most: float = 0.5  # a part beside the defect of which "not this" takes more than this share goes whole
    sure: float = 1.0  # logit, + or -, from which on the newest map is believed beyond, if the better one
    poor: float = (
        0.3  # a mask of which no higher IoU is to be expected may change wherever the click can mean
    )
    unbelieved: float = 0.35  # if the newest map is not the better one, a click reaches so many times as far
    edge: int = 1  # working pixels by which the border of the mask shown may move anywhere, either way
    undecided: float = 0.4  # logit, + or -, of what stays as it was although the newest map says otherwise

    def __post_init__(self) -> None:
        check(
            self,
            {
                "near": NONE_OR_MORE,
                "edge": NONE_OR_MORE,
                "adds": POSITIVE,
                "removes": POSITIVE,
                "middle": SHARE,
                "most": SHARE,
                "poor": SHARE,
                "unbelieved": SHARE,
                "sure": POSITIVE,
                "undecided": POSITIVE,
            },
        )


CONTINUITY = ContinuityConfig()


def continued(
    logits: Map,
    before: Map,
    clicks: Sequence[Click],
    frame: Frame,
    expected: tuple[float, float],
    config: ContinuityConfig = CONTINUITY,
) -> Map:
    """Logits whose cut at 0 differs from the mask shown only where the newest click explains it.

    Args:
        logits: (frame.height, frame.width), after the clicks.
        before: the same, before the newest of them; its cut at 0 is the mask that this was made at.
        clicks: in image pixels, oldest first.
        frame: working frame.
        expected: IoU to expect of the mask shown, and of that of ``logits``, in [0, 1].
        config: what a click explains.

    Returns:
        The same size.
    """
    shown, newest = before > 0, clicks[-1]
    wrong = shown ^ newest.positive
    blind = not any(click.positive for click in clicks[:-1])  # before a "this", no map knows what is meant
    better, poor = expected[1] > expected[0], expected[0] < config.poor
    explained = _reached(wrong, newest, frame, 1.0 if better or blind else config.unbelieved, config)
    if not newest.positive and (better or blind):
        explained |= _refused(wrong, clicks, frame, config)
    if better and not blind:
        explained |= np.abs(logits) > config.sure
    explained |= poor and not blind
    allowed = (wrong & explained) | _edge(shown, config.edge)
    overturned = ((logits > 0) != shown) & ~allowed
    if not newest.positive and not blind:
        overturned &= ~_mostly_gone(shown, shown & (logits <= 0) & ~overturned, clicks, frame, config)
    kept = np.where(shown, config.undecided, -config.undecided)
    return np.asarray(np.where(overturned, kept, logits), np.float32)


def _edge(shown: Mask, width: int) -> Mask:
    """The places on both sides of a mask's border: each click makes a border a little better all the way round."""
    mask, square = shown.astype(np.uint8), np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    return np.asarray(cv2.dilate(mask, square) != cv2.erode(mask, square))


def _reached(wrong: Mask, click: Click, frame: Frame, belief: float, config: ContinuityConfig) -> Mask:
    """The places so near to a click that it speaks of them, if ``wrong`` is all that it can mean."""
    x, y = place_of(click, frame)
    times = belief * (config.adds if click.positive else config.removes)
    rows, columns = np.ogrid[: frame.height, : frame.width]
    reach = times * max(CLICK_RADIUS, _deepest(_depth(wrong), (x, y), config))
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= reach**2)


def _refused(shown: Mask, clicks: Sequence[Click], frame: Frame, config: ContinuityConfig) -> Mask:
    """The parts of the mask shown in whose middle the newest "not this" lies, and in which nobody clicked "this"."""
    place, depth = place_of(clicks[-1], frame), _depth(shown)
    labels = cv2.connectedComponents(shown.astype(np.uint8), connectivity=8)[1]
    near = {int(number) for number in np.unique(surroundings(labels, *place, config.near))}
    here = _deepest(depth, place, config)
    middle = {number for number in near if here >= config.middle * depth[labels == number].max()}
    return unconfirmed(labels, middle, _confirmed(clicks, frame))


def _mostly_gone(
    shown: Mask, gone: Mask, clicks: Sequence[Click], frame: Frame, config: ContinuityConfig
) -> Mask:
    """The parts of the mask shown that are mostly ``gone``, and in which nobody clicked "this"."""
    count, labels = cv2.connectedComponents(shown.astype(np.uint8), connectivity=8)
    areas, taken = (np.bincount(labels[part], minlength=count) for part in (shown, gone))
    mostly = set(np.nonzero(taken > config.most * areas)[0].tolist())
    return unconfirmed(labels, mostly, _confirmed(clicks, frame))


def _confirmed(clicks: Sequence[Click], frame: Frame) -> list[tuple[int, int]]:
    """The places (column, row) of the "this" among some clicks."""
    return [place_of(click, frame) for click in clicks if click.positive]


def _depth(region: Mask) -> Map:
    """Distance of each pixel of a region to the nearest one outside of it, in pixels; 0 outside."""
    return np.asarray(cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def _deepest(depth: Map, place: tuple[int, int], config: ContinuityConfig) -> float:
    """The greatest depth so near to a place that a click there may mean it."""
    return float(surroundings(depth, *place, config.near).max(initial=0.0))
