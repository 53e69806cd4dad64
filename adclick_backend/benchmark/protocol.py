"""The click protocol: simulate a person who clicks the middle of the largest error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from model.clicks import Click, simulate_clicks
from model.metrics.masks import MOST_CLICKS, iou

SHOWN = (1, 2, 3, 5, 10)
"""Numbers of clicks after which the mean IoU is reported; every image gets the largest of them."""
MAPPED = (2, 3, 5)
"""Numbers of clicks after which the probability map is kept for AP, PRO and AUROC."""
DRAWN = 3
"""Number of clicks whose mask is kept for the pictures."""
TARGETS = (0.80, 0.85, 0.90)


@dataclass(frozen=True)
class Answer:
    """What a method says to some clicks.

    Attributes:
        mask: (H, W) bool, of the image's size.
        probability: (h, w) float32 in [0, 1], the image at any size; None for a method that has only a mask.
        score: the IoU that the method expects of its mask, in [0, 1]; None if it does not say.
    """

    mask: NDArray[np.bool_]
    probability: NDArray[np.float32] | None = None
    score: float | None = None


Segment = Callable[[Sequence[Click]], Answer]
"""Clicks of one image, oldest first, to the answer. Called with one click more each time."""


@dataclass
class Trial:
    """One image clicked through by one method.

    Attributes:
        ious: IoU after each click. Where there was no error left to click, the last one repeated.
        scores: what the method expected each of them to be; empty if it does not say.
        clicks: the clicks given.
        maps: number of clicks -> probability map, for those of ``MAPPED``.
        drawn: (H, W) bool, the mask after ``DRAWN`` clicks.
    """

    ious: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    clicks: list[Click] = field(default_factory=list)
    maps: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    drawn: NDArray[np.bool_] | None = None

    def add(self, answer: Answer, overlap: float) -> None:
        """Note the answer to one click more."""
        self.ious.append(round(overlap, 4))
        if answer.score is not None:
            self.scores.append(round(answer.score, 4))
        if len(self.ious) in MAPPED and answer.probability is not None:
            self.maps[len(self.ious)] = answer.probability
        if len(self.ious) == DRAWN:
            self.drawn = answer.mask


def click_through(
    segment: Segment,
    target: NDArray[np.bool_],
    clicks: int = MOST_CLICKS,
    rng: np.random.Generator | None = None,
    jitter: float = 0.0,
) -> Trial:
    """Click until the mask is nearly right.

    Args:
        segment: the method, with the image.
        target: (H, W) true mask.
        clicks: at most so many; ends earlier once the highest target is reached and ``max(SHOWN)`` clicks are made.
        rng: for the jitter.
        jitter: standard deviation, in pixels, of clicks that miss the middle.
    """
    trial, least = Trial(), min(clicks, max(SHOWN))
    answer = Answer(np.zeros_like(target))
    simulated = simulate_clicks(target, lambda given, _: segment(given), lambda a: a.mask, rng, jitter)
    for trial.clicks, answer in islice(simulated, clicks):
        trial.add(answer, iou(answer.mask, target))
        if len(trial.ious) >= least and max(trial.ious) >= TARGETS[-1]:
            break
    while len(trial.ious) < least:  # nothing left to click: the mask stays as it is
        trial.add(answer, iou(answer.mask, target))
    return trial
