"""Threshold selection: of several masks that a probability map allows, the one that explains the clicks best.

The network ranks places well and cuts them badly: the best threshold for an image would be worth five to ten points of
IoU. The clicks tell of it. A person clicks in the middle of what is most wrong about the mask they see: the first time
in the middle of the defect, later in the middle of the largest piece that is missing or too much. So of several masks
that may be meant, one is the more likely the better it explains the clicks: the deeper in its largest error against
the mask that was shown each of them lies. That likelihood times the IoU to expect of a mask decides.

A click that corrects one place must not change others for nothing. Among the masks are therefore, from the second
click on, those that differ from the mask shown only where the click is (the progressive merge of FocalClick: Chen et
al., CVPR 2022, made one of several hypotheses).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from adclick_runtime.expected import expected_iou
from adclick_runtime.frame import Frame
from model.checkpoint.ranges import NONE_OR_MORE, POSITIVE, SHARE, Range, check, refused
from model.clicks import Click
from model.interactive.mask import Map, Mask, place_of, surroundings

_LEVEL = Range(lambda n: 0 < n < 1, "is no level, which lies between 0 and 1")


@dataclass(frozen=True)
class ThresholdConfig:
    """Which masks may be meant, and how a click speaks for one. People miss, so no click rules a mask out."""

    levels: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)  # probabilities at which the map is cut
    missed: float = 0.2  # likelihood of a click at the border of an error, or at none; in its middle: 1
    near: int = 2  # cells round a click whose deepest one counts
    undecided: float = 0.4  # logit, + or -, of what stays as it was although the newest map says otherwise

    def __post_init__(self) -> None:
        check(self, {"levels": _LEVEL, "missed": SHARE, "near": NONE_OR_MORE, "undecided": POSITIVE})
        if not self.levels:
            raise refused(self, "levels", "() holds no probability, it takes at least one")


THRESHOLD = ThresholdConfig()


class ClickOnMask(NamedTuple):
    """A click, and the mask that the person saw when they made it.

    Attributes:
        click: in image pixels.
        previous: the previous mask (frame.height // 2, frame.width // 2), on the stride-2 grid; empty before the first
            click.
    """

    click: Click
    previous: Mask


class Selection(NamedTuple):
    """The mask that is meant.

    Attributes:
        logits: (frame.height, frame.width); the mask is where they are positive.
        expected_iou: of the mask if the probabilities are right, times how well it explains a click (the geometric
            mean of the likelihoods), in [0, 1].
    """

    logits: Map
    expected_iou: float


class _Hypothesis(NamedTuple):
    """A mask that may be meant, on the stride-2 grid."""

    mask: Mask
    offset: float  # logit at which the map is cut
    changed: Mask | None  # the only place where it differs from the mask shown; None: it may differ anywhere
    expected_iou: float


def select_threshold(
    logits: Map,
    probability: Map,
    frame: Frame,
    history: Sequence[ClickOnMask],
    before: Map | None,
    config: ThresholdConfig = THRESHOLD,
) -> Selection:
    """Of the masks that may be meant, the one that the clicks and the map speak for.

    Args:
        logits: (frame.height, frame.width), smoothed, from the network.
        probability: the same size, in [0, 1], not smoothed.
        frame: working frame.
        history: the clicks with the masks that they were made at, oldest first, as far as they are known.
        before: the logits whose cut at 0 was the mask at the newest click; None when there was none.
        config: which masks are tried, and how a click is judged.
    """
    tried = _hypotheses(logits, probability, frame, history, before, config)
    found = sorted(tried, key=lambda h: -h.expected_iou)
    best, most = found[0], -1.0
    for hypothesis in found:
        value = hypothesis.expected_iou
        for one in reversed(history):
            if value <= most:  # a likelihood is at most 1: it cannot become the best any more
                break
            value *= _likelihood(hypothesis.mask, one, frame, config)
        if value > most:
            best, most = hypothesis, value
    explained = most / max(best.expected_iou, 1e-9)
    cut = logits - best.offset
    if best.changed is not None and before is not None:
        near = cv2.dilate(best.changed.astype(np.uint8), np.ones((3, 3), np.uint8)).repeat(2, 0).repeat(2, 1)
        overturned = ((cut > 0) != (before > 0)) & (near == 0)
        cut = np.where(overturned, np.where(before > 0, config.undecided, -config.undecided), cut)
    return Selection(np.asarray(cut, np.float32), best.expected_iou * explained ** (1 / max(1, len(history))))


def _hypotheses(
    logits: Map,
    probability: Map,
    frame: Frame,
    history: Sequence[ClickOnMask],
    before: Map | None,
    config: ThresholdConfig,
) -> Iterator[_Hypothesis]:
    """Each level's mask; and the mask shown, with the level's at the newest click."""
    size = frame.width // 2, frame.height // 2
    small, sure = (
        np.asarray(cv2.resize(m, size, interpolation=cv2.INTER_AREA), np.float32)
        for m in (logits, probability)
    )
    for level in config.levels:
        offset = float(np.log(level / (1 - level)))
        mask = small > offset
        yield _Hypothesis(mask, offset, None, expected_iou(sure, mask))
        if before is None or not history:
            continue
        newest = history[-1]
        labels = cv2.connectedComponents((mask != newest.previous).astype(np.uint8), connectivity=4)[1]
        here = np.unique(surroundings(labels, *_cell(newest.click, frame), config.near))
        changed = np.isin(labels, here[here > 0])
        if changed.any():
            local = np.where(changed, mask, newest.previous)
            yield _Hypothesis(local, offset, changed, expected_iou(sure, local))


def _likelihood(mask: Mask, on: ClickOnMask, frame: Frame, config: ThresholdConfig = THRESHOLD) -> float:
    """How near the click is to the deepest place of all errors of the mask shown, if ``mask`` is the truth.

    Returns:
        From ``config.missed`` to 1.
    """
    left, top, width, height = cv2.boundingRect((mask != on.previous).astype(np.uint8))
    if not width:
        return config.missed
    box = slice(top, top + height), slice(left, left + width)
    missing, excess = (
        cv2.distanceTransform(np.pad((a & ~b).astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        for a, b in ((mask[box], on.previous[box]), (on.previous[box], mask[box]))
    )
    x, y = _cell(on.click, frame)
    own = surroundings(missing if on.click.positive else excess, x - left, y - top, config.near)
    deepest = float(max(missing.max(), excess.max()))
    return config.missed + (1 - config.missed) * float(own.max(initial=0.0)) / deepest


def _cell(click: Click, frame: Frame) -> tuple[int, int]:
    """The stride-2 cell (column, row) of a click."""
    x, y = place_of(click, frame)
    return x // 2, y // 2
