"""Which source makes the best masks before the first click: each looks at the same images, and the best one serves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from adclick_backend.store.proposal_source import TRAINED, words_of_source
from adclick_backend.training.promotion import (
    ImageScores,
    Look,
    finite,
    highest,
    image_scores,
    mean_scores,
    truth_of,
)
from model.labels.labelled import LabelledImage

LABELLED, DRAWN, GOOD = 3.0, 1.0, 1.0
"""What counts how much: the IoU in labelled images, the IoU of drawn defects, and how clean good images stay."""

SPOILT = 0.01
"""A good image of which so much is marked, or more, counts as spoilt; one of which nothing is marked as clean."""

EQUAL = 0.01
"""Worth by which a source must lead one that stands before it, ..."""

ERRORS = 2.0
"""... and by so many standard errors of the difference between the images: few images differ by chance."""

NAMES_TYPES = 0.05
"""Worth by which it must lead the trained network where that tells several defect types apart, which no other does."""


@dataclass(frozen=True)
class Tried:
    """How one source did.

    Attributes:
        name: of the source.
        scores: by the name of the image.
        metrics: mean over labelled and drawn images, as ``iou`` and ``ap``; ``labelled`` and ``drawn``, the IoU in each
            sort; and ``false_area`` over the good ones. All in [0, 1]; those that there are no images for are missing.
        worth: what the choice goes by, in [0, 1]; NaN for a source whose maps hold values that are not numbers.
        parts: weight of each sort of images that there are, and what each image of it adds to the worth, in [0, 1].
        milliseconds: for a map of an image that is open, the mean.
    """

    name: str
    scores: Mapping[str, ImageScores]
    metrics: Mapping[str, float]
    worth: float
    milliseconds: float
    parts: Sequence[tuple[float, Sequence[float]]] = ()


@dataclass(frozen=True)
class Trial:
    """The verdict.

    Attributes:
        serves: name of the source that is to serve.
        reason: a sentence for a person; "" when there was but one source.
        tried: every source, in the order in which they stand.
        images: those that were looked at.
    """

    serves: str
    reason: str
    tried: Sequence[Tried]
    images: Sequence[LabelledImage] = field(default_factory=list)

    def proposes(self, choice: str) -> str:
        """The source that proposes where somebody chose one: that, if it was tried, or the one that serves."""
        return choice if choice in {one.name for one in self.tried} else self.serves

    def as_json(self) -> dict[str, Any]:
        """What ``comparison.json`` holds of it."""
        rows = [
            {
                "name": one.name,
                **finite(one.metrics),
                **finite({"worth": one.worth}),
                "milliseconds": round(one.milliseconds, 1),
            }
            for one in self.tried
        ]
        return {"serves": self.serves, "reason": self.reason, "rows": rows}


def try_sources(
    looks: Mapping[str, Look],
    labelled: Sequence[LabelledImage],
    drawn: Sequence[LabelledImage],
    good: Sequence[LabelledImage],
    progress: Callable[[float], None] = lambda share: None,
) -> list[Tried]:
    """Let each source look at the images.

    The worth of a source is the mean, weighted by `LABELLED`, `DRAWN` and `GOOD`, of its IoU in labelled images, its
    IoU of drawn defects, and of how clean good images stay: 1 where nothing is marked, 0 from `SPOILT` on.

    Args:
        looks: source -> what it sees in an image.
        labelled: images with a mask that nothing was trained on; may be empty.
        drawn: images with drawn defects.
        good: images without.
        progress: told the share that is done; may raise.
    """
    images = [*labelled, *drawn, *good]
    scores: dict[str, dict[str, ImageScores]] = {name: {} for name in looks}
    seconds = dict.fromkeys(looks, 0.0)
    for number, image in enumerate(images):
        for place, (name, look) in enumerate(looks.items()):
            progress((number + place / len(looks)) / len(images))
            if place == 0:
                look(image)  # opens it, which is nobody's merit
            started = time.perf_counter()
            found = highest(look(image))
            seconds[name] += time.perf_counter() - started
            shape = found.shape[0], found.shape[1]
            scores[name][image.name] = image_scores(found, truth_of(image, shape), image)
    sorts = {"labelled": labelled, "drawn": drawn, "good": good}
    return [_tried(name, scores[name], sorts, 1000 * seconds[name] / max(len(images), 1)) for name in looks]


def _tried(
    name: str,
    scores: Mapping[str, ImageScores],
    sorts: Mapping[str, Sequence[LabelledImage]],
    milliseconds: float,
) -> Tried:
    metrics = mean_scores(list(scores.values()))
    parts: list[tuple[float, Sequence[float]]] = []
    for sort, weight in (("labelled", LABELLED), ("drawn", DRAWN)):
        if found := [value for image in sorts[sort] if (value := scores[image.name].iou) is not None]:
            metrics[sort] = float(np.mean(found))
            parts.append((weight, found))
    if good := [scores[image.name].false_area or 0.0 for image in sorts["good"]]:
        parts.append((GOOD, [1 - min(area, SPOILT) / SPOILT for area in good]))
    whole = sum(weight for weight, _ in parts)
    worth = sum(weight * float(np.mean(found)) for weight, found in parts) / whole if parts else 0.0
    if not all(map(math.isfinite, metrics.values())):
        worth = math.nan
    return Tried(name, scores, metrics, worth, milliseconds, parts)


def choose_source(
    tried: Sequence[Tried],
    images: Sequence[LabelledImage],
    types: int,
    held_out: bool,
) -> Trial:
    """The source that is to serve: the one of the highest worth, unless one before it is as good as that.

    A source has to lead the best one before it by `EQUAL` and by `ERRORS` standard errors, and the trained network by
    `NAMES_TYPES` where that tells several types apart. One whose maps are not numbers never serves.

    Args:
        tried: in the order in which they stand, the trained network first.
        images: those that they were tried on.
        types: how many defect types are labelled.
        held_out: whether no training saw the images.
    """
    sound = [one for one in tried if math.isfinite(one.worth)] or list(tried)
    best = sound[0]
    for one in sound[1:]:
        least = NAMES_TYPES if best.name == TRAINED and types > 1 else EQUAL
        if one.worth >= best.worth + max(least, ERRORS * _standard_error(one, best)):
            best = one
    seen = "" if held_out else " Some of them were trained on these images as well, for there are few."
    top = max(sound, key=lambda one: one.worth)
    of = f"Of {len(tried)} sources of masks before the first click, tried on {len(images)} images"
    if top is best:
        reason = f"{of}, {words_of_source(best.name)} did best: {_figures(best)}.{seen}"
    else:
        reason = (
            f"{of}, {words_of_source(best.name)} serves: {_figures(best)}. {_capital(words_of_source(top.name))} "
            f"did not do so much better that it counts: {_figures(top)}.{seen}"
        )
    return Trial(best.name, reason, tried, images)


def _standard_error(one: Tried, other: Tried) -> float:
    """Of the difference of the worths of two sources: how much of it may be chance, by how it varies between images."""
    whole = sum(weight for weight, _ in one.parts)
    variance = 0.0
    for (weight, ours), (_, theirs) in zip(one.parts, other.parts, strict=True):
        if len(ours) > 1:
            variance += (weight / whole) ** 2 * float(np.var(np.subtract(ours, theirs), ddof=1)) / len(ours)
    return math.sqrt(variance)


def _figures(one: Tried) -> str:
    parts = []
    if "labelled" in one.metrics:
        parts.append(f"IoU {one.metrics['labelled']:.1%} in labelled images")
    if "drawn" in one.metrics:
        parts.append(f"IoU {one.metrics['drawn']:.1%} of drawn defects")
    if "false_area" in one.metrics:
        parts.append(f"{one.metrics['false_area']:.1%} of good images marked")
    return ", ".join(parts) or "nothing could be measured"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
