"""Whether a new version may serve: it and the version that serves look at the same images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.training.holdout import Split
from model.labels.labelled import SHAPED, LabelledImage

Map = NDArray[np.float32]
Look = Callable[[LabelledImage], Mapping[str, Map]]
"""What a version sees in an image: defect type -> probability (h, w) float32 in [0, 1], of any size."""

TOLERANCES = {"iou": (0.01, 0.03), "ap": (0.01, 0.03), "false_area": (0.002, 0.005)}
"""What counts as equal: the first always, up to the second where so few images differ so much that it may be chance."""

NAMES = {
    "iou": "the overlap (IoU) of its masks with the labels",
    "ap": "the pixel AP of its maps",
    "false_area": "the area that it marks in normal images",
}


@dataclass(frozen=True)
class ImageScores:
    """How one version does in one image; all types together (the maximum of Eq. 7).

    Attributes:
        iou: of the map cut at 0.5 with the labelled mask; None in a normal image.
        ap: pixel AP of the map; None in a normal image.
        false_area: share of a normal image that is marked, in [0, 1]; None in a labelled one.
    """

    iou: float | None = None
    ap: float | None = None
    false_area: float | None = None


@dataclass(frozen=True)
class Judged:
    """One image with what both versions scored in it.

    Attributes:
        image: the image.
        candidate: scores of the new version.
        serving: scores of the version that serves; None when there is none.
        difference: mean absolute difference of their maps, in [0, 1].
    """

    image: LabelledImage
    candidate: ImageScores
    serving: ImageScores | None
    difference: float


@dataclass(frozen=True)
class Comparison:
    """The verdict.

    Attributes:
        promoted: whether the new version may serve.
        reason: a sentence for a person.
        held_out: whether the labelled images were kept from the training.
        candidate: mean of each score of the new version; NaN where it could not be computed.
        serving: mean of each score of the version that serves; empty when there is none.
        images: every image that was looked at, the one where the versions differ most first.
    """

    promoted: bool
    reason: str
    held_out: bool
    candidate: dict[str, float]
    serving: dict[str, float]
    images: list[Judged] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What ``comparison.json`` holds, besides the names of the versions."""
        rows = [
            {
                "image": judged.image.name,
                "types": sorted(judged.image.labels),
                "candidate": finite(asdict(judged.candidate)),
                "serving": None if judged.serving is None else finite(asdict(judged.serving)),
                "difference": round(judged.difference, 5),
            }
            for judged in self.images
        ]
        return {
            "promoted": self.promoted,
            "reason": self.reason,
            "held_out": self.held_out,
            "candidate": finite(self.candidate),
            "serving": finite(self.serving),
            "images": rows,
        }


def compare(
    candidate: Look,
    serving: Look | None,
    split: Split,
    progress: Callable[[float], None] = lambda share: None,
) -> Comparison:
    """Let both versions look at the held-out images, and decide.

    The new version is worse when the mean of a score is worse by more than the standard error of the differences
    between the images, within its `TOLERANCES`: with few images chance decides less, but a large loss always counts.

    Args:
        candidate: the new version.
        serving: the version that serves; None when nothing does.
        split: the images to judge by.
        progress: told the share of the images that is done; may raise.
    """
    images = [*split.labelled, *split.normal]
    judged = []
    for number, image in enumerate(images):
        progress(number / len(images))
        judged.append(_judge(image, candidate, serving))
    judged.sort(key=lambda one: (-one.difference, one.image.name))
    ours = mean_scores([one.candidate for one in judged])
    theirs = mean_scores([one.serving for one in judged if one.serving is not None])
    promoted, reason = _decide(judged, ours, theirs, split)
    return Comparison(promoted, reason, split.held_out, ours, theirs, judged)


def measure(look: Look, images: Sequence[LabelledImage]) -> dict[str, float]:
    """The mean of each score of one version in some images; scores that are not numbers are left out."""
    means = mean_scores([_judge(image, look, None).candidate for image in images])
    return {name: mean for name, mean in means.items() if math.isfinite(mean)}


def truth_of(image: LabelledImage, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The labelled defects of an image, all types together, (h, w) of `shape`."""
    truth = np.zeros(shape, bool)
    for label in image.labels.values():
        if label.kind in SHAPED:  # where in a box the defect is, is not known
            target = cv2.resize(label.target, shape[::-1], interpolation=cv2.INTER_AREA)
            truth |= np.asarray(target >= 0.5)
    return truth


def highest(maps: Mapping[str, Map]) -> Map:
    """The maximum over the types (Eq. 7), (h, w) float32."""
    return np.asarray(np.maximum.reduce(list(maps.values())), np.float32)


def _judge(image: LabelledImage, candidate: Look, serving: Look | None) -> Judged:
    ours = highest(candidate(image))
    truth = truth_of(image, (ours.shape[0], ours.shape[1]))
    if serving is None:
        return Judged(image, image_scores(ours, truth, image), None, 0.0)
    theirs = highest(serving(image))
    difference = float(np.nan_to_num(np.abs(ours - theirs), nan=1.0).mean())
    return Judged(image, image_scores(ours, truth, image), image_scores(theirs, truth, image), difference)


def image_scores(found: Map, truth: NDArray[np.bool_], image: LabelledImage) -> ImageScores:
    """What a map scores in an image.

    Args:
        found: (h, w) float32 in [0, 1].
        truth: (h, w) bool, the labelled defects.
        image: the image; normal when it has no labels.

    Returns:
        NaN for a map that holds values that are not numbers.
    """
    from model.metrics.masks import iou
    from model.metrics.ranking import pixel_average_precision

    if not np.isfinite(found).all():
        return ImageScores(math.nan, math.nan, math.nan)
    if not image.labels:
        return ImageScores(false_area=float((found >= 0.5).mean()))
    if truth.all() or not truth.any():  # smaller than a pixel of the map, or all of the image
        return ImageScores(iou=iou(found >= 0.5, truth))
    return ImageScores(iou=iou(found >= 0.5, truth), ap=pixel_average_precision([found], [truth]))


def mean_scores(scores: Sequence[ImageScores]) -> dict[str, float]:
    """The mean of each score that any of the images has, by its name."""
    means = {}
    for name in TOLERANCES:
        known = [value for one in scores if (value := getattr(one, name)) is not None]
        if known:
            means[name] = float(np.mean(known))
    return means


def _decide(
    judged: Sequence[Judged], ours: Mapping[str, float], theirs: Mapping[str, float], split: Split
) -> tuple[bool, str]:
    if not all(math.isfinite(value) for value in ours.values()):
        return False, "It was not promoted: its maps hold values that are not numbers."
    seen = "" if split.held_out else " It was judged by images that it was trained on, for there are few."
    if not theirs:
        return True, f"It was promoted: no version served before.{seen}"
    worse = [name for name in ours if name in theirs and _is_worse(name, judged)]
    if worse:
        which = "; ".join(f"{NAMES[n]} went from {theirs[n]:.1%} to {ours[n]:.1%}" for n in worse)
        return False, f"It was not promoted, for it is worse than the version that serves: {which}.{seen}"
    changes = "; ".join(f"{NAMES[n]}: {theirs[n]:.1%}, now {ours[n]:.1%}" for n in ours if n in theirs)
    return True, f"It was promoted, for it is not worse than the version before: {changes}.{seen}"


def is_better(name: str, judged: Sequence[Judged]) -> bool:
    """Whether the new version is better in one score, by more than counts as equal; of one image alone, by the most."""
    gains = _gains(name, judged)
    least = TOLERANCES[name][1] if len(gains) == 1 else _equal(name, gains)
    return bool(gains) and float(np.mean(gains)) > least


def _is_worse(name: str, judged: Sequence[Judged]) -> bool:
    """Whether the new version is worse in one score, by more than counts as equal."""
    gains = _gains(name, judged)
    return bool(gains) and float(np.mean(gains)) < -_equal(name, gains)


def _gains(name: str, judged: Sequence[Judged]) -> list[float]:
    """How much better the new version is in each image that has the score."""
    sign = -1.0 if name == "false_area" else 1.0
    return [
        sign * (ours - theirs)
        for one in judged
        if one.serving is not None
        and (ours := getattr(one.candidate, name)) is not None
        and (theirs := getattr(one.serving, name)) is not None
        and math.isfinite(theirs)
    ]


def _equal(name: str, gains: Sequence[float]) -> float:
    """A mean gain up to which both count as equal."""
    error = float(np.std(gains, ddof=1)) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    least, most = TOLERANCES[name]
    return min(max(error, least), most)


def finite(scores: Mapping[str, float | None]) -> dict[str, float | None]:
    """Scores as JSON has them: rounded, and null for what is no number."""
    return {
        name: round(value, 5) if value is not None and math.isfinite(value) else None
        for name, value in scores.items()
    }
