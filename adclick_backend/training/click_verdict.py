"""Whether an adapted click network may answer: it and the one that answers now are clicked through the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_backend.store.version import CLICK_COUNTS, click_measure
from adclick_backend.training.promotion import truth_of
from adclick_backend.training.training_set import whole
from model.clicks import Click, simulate_clicks
from model.labels.labelled import LabelledImage
from model.metrics.masks import iou

Mask = NDArray[np.bool_]
Press = Callable[[LabelledImage, Sequence[Click]], Mask]
"""What a click network answers to clicks in an image, (H, W) bool of the image's size."""

BETTER = 0.005
"""The mean IoU over all of those has to grow by so much: equal is not enough to leave what is known."""

NOT_WORSE = 0.01
"""And it may fall by no more than this after any of them."""


@dataclass(frozen=True)
class Clicked:
    """One image, clicked through by both networks.

    Attributes:
        image: the image.
        candidate: IoU after each click, by the adapted network.
        serving: the same by the one that answers now.
        first: masks (H, W) after the first click, of the one that answers now and of the adapted one.
    """

    image: LabelledImage
    candidate: list[float]
    serving: list[float]
    first: tuple[Mask, Mask]

    @property
    def gain(self) -> float:
        """How much larger the IoU is, on average over `CLICK_COUNTS`."""
        return float(np.mean([self.candidate[n - 1] - self.serving[n - 1] for n in CLICK_COUNTS]))


@dataclass(frozen=True)
class ClickVerdict:
    """The verdict.

    Attributes:
        adopted: whether the adapted network answers from now on, once its version serves.
        reason: a sentence for a person.
        candidate: mean IoU after so many clicks, by `click_measure`, of the adapted network; empty when there is none.
        serving: the same of the one that answers now.
        images: those that were clicked through, the one with the largest difference first.
    """

    adopted: bool
    reason: str
    candidate: dict[str, float] = field(default_factory=dict)
    serving: dict[str, float] = field(default_factory=dict)
    images: list[Clicked] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What ``comparison.json`` holds of it."""
        rows = [
            {
                "image": one.image.name,
                "types": sorted(one.image.labels),
                "candidate": [round(value, 5) for value in one.candidate],
                "serving": [round(value, 5) for value in one.serving],
            }
            for one in self.images
        ]
        rounded = {
            name: {key: round(value, 5) for key, value in found.items()}
            for name, found in (("candidate", self.candidate), ("serving", self.serving))
        }
        return {"adopted": self.adopted, "reason": self.reason, **rounded, "images": rows}


def judge_clicks(
    candidate: Press,
    serving: Press,
    images: Sequence[LabelledImage],
    answering: str,
    progress: Callable[[float], None] = lambda share: None,
) -> ClickVerdict:
    """Click through images that the adapted network was not shown, at the centre of the largest error, and decide.

    Args:
        candidate: the adapted network.
        serving: the one that answers now.
        images: with a mask each.
        answering: what the latter is called, for the sentence.
        progress: told the share of the images that is done; may raise.
    """
    clicked = []
    for number, image in enumerate(images):
        progress(number / len(images))
        pixels = whole(image)()
        truth = truth_of(image, (pixels.shape[0], pixels.shape[1]))
        (theirs, before), (ours, after) = (
            _click_through(press, image, truth) for press in (serving, candidate)
        )
        clicked.append(Clicked(image, ours, theirs, (before, after)))
    clicked.sort(key=lambda one: (-abs(one.candidate[0] - one.serving[0]), one.image.name))
    new, old = (
        {n: float(np.mean([curve[n - 1] for curve in curves])) for n in CLICK_COUNTS}
        for curves in ([one.candidate for one in clicked], [one.serving for one in clicked])
    )
    worst = min(CLICK_COUNTS, key=lambda n: new[n] - old[n])
    gain = float(np.mean([one.gain for one in clicked]))
    adopted = gain >= BETTER and new[worst] >= old[worst] - NOT_WORSE
    shown = ", ".join(f"{old[n]:.1%} to {new[n]:.1%} after {n}" for n in CLICK_COUNTS)
    changed = (
        f"the overlap (IoU) of masks went from {shown} clicks, on {len(images)} images that it was not shown"
    )
    if adopted:
        reason = f"Clicks are answered by a network that was adapted to this project: {changed}."
    else:
        reason = (
            f"Clicks go on being answered by {answering}, for the adapted network is not better: {changed}."
        )
    measures = [{click_measure(n): found[n] for n in CLICK_COUNTS} for found in (new, old)]
    return ClickVerdict(adopted, reason, measures[0], measures[1], clicked)


def _click_through(press: Press, image: LabelledImage, truth: Mask) -> tuple[list[float], Mask]:
    """The IoU with the labelled mask ``truth`` (H, W) after each click, and the mask after the first."""
    seen = simulate_clicks(truth, lambda clicks, _: press(image, clicks), lambda mask: mask)
    masks = [mask for _, mask in islice(seen, CLICK_COUNTS[-1])] or [truth]  # no pixel of it is left to click
    found = [iou(mask, truth) for mask in masks]
    return found + [found[-1]] * (CLICK_COUNTS[-1] - len(found)), masks[0]
