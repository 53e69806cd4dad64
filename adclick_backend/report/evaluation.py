"""How well a version finds the defects of one product without a click."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.benchmark.pixels import bounded_shape
from adclick_backend.dashboard.figures import words_of
from adclick_backend.training.promotion import (
    ImageScores,
    Look,
    highest,
    image_scores,
    mean_scores,
    truth_of,
)
from model.labels.labelled import SHAPED, LabelledImage
from model.metrics.ranking import Ranking, image_auroc, rank, rank_pixels
from model.metrics.thresholded import iou_max, thresholded

CUT = 0.5
POINTS = 200  # of a curve


@dataclass(frozen=True)
class Seen:
    """One image and what was seen in it, at most 512 pixels on its longer side.

    Attributes:
        image: as it is labelled; no labels means normal.
        scores: (h, w) float32 in [0, 1], the maximum over the types (Eq. 7).
        truth: (h, w) bool; None where nobody said which pixels are defective.
        judged: the image's scores as a training computes them, so that the page Versions and a report of the same
            images agree to the digit.
    """

    image: LabelledImage
    scores: NDArray[np.float32]
    truth: NDArray[np.bool_] | None
    judged: ImageScores

    @property
    def score(self) -> float:
        """Of the image: its highest pixel."""
        return float(self.scores.max())

    @property
    def overlap(self) -> float:
        """IoU of the mask with the truth; NaN without a truth or a defect."""
        return math.nan if self.truth is None or self.judged.iou is None else self.judged.iou


@dataclass(frozen=True)
class Curve:
    """A curve with the area under it: (x, y) from left to right, both in [0, 1]."""

    name: str
    area: float
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Evaluation:
    """Everything that is measured of one product. Figures are in [0, 1]; those that cannot be computed are left out.

    Attributes:
        images: defective and normal images.
        figures: name -> value, of all types together.
        types: defect type -> (images, the same for the images that have it, beside all normal ones).
        roc: receiver operating characteristics, of pixels and of images.
        precision: precision against recall, of pixels.
        worst: the images with the smallest overlap, then the normal ones with the highest score.
    """

    images: tuple[int, int]
    figures: dict[str, float]
    types: dict[str, tuple[int, dict[str, float]]]
    roc: list[Curve]
    precision: list[Curve]
    worst: list[Seen]


def evaluate(
    images: Iterable[LabelledImage], look: Look, progress: Callable[[], None] = lambda: None, worst: int = 6
) -> Evaluation:
    """Look at every image and measure.

    Args:
        images: defective and normal ones.
        look: what the version sees.
        progress: called after each image.
        worst: how many images to show of those with a defect, and half as many normal ones.
    """
    seen = []
    for image in images:
        seen.append(_see(image, look))
        progress()
    normal = [s for s in seen if not s.image.labels]
    defective = [s for s in seen if s.image.labels]
    types = {}
    for name in sorted({name for s in defective for name in s.image.labels}):
        having = [s for s in defective if name in s.image.labels]
        types[name] = (len(having), figures(having, normal))
    by_overlap = sorted((s for s in defective if not math.isnan(s.overlap)), key=lambda s: s.overlap)
    by_score = sorted(normal, key=lambda s: -s.score)
    pixels, whole = _pixel_ranking([*defective, *normal]), _image_ranking(defective, normal)
    return Evaluation(
        (len(defective), len(normal)),
        figures(defective, normal),
        types,
        [
            Curve(name, ranking.auroc, _thinned(ranking.alarms, ranking.hits))
            for name, ranking in (("pixels", pixels), ("images", whole))
            if ranking
        ],
        [Curve("pixels", pixels.average_precision, _thinned(pixels.hits, pixels.precision, origin=False))]
        if pixels
        else [],
        by_overlap[:worst] + by_score[: worst // 2],
    )


def figures(defective: Sequence[Seen], normal: Sequence[Seen]) -> dict[str, float]:
    """The metrics of some images, by name, each in [0, 1]; first those that the page Versions has as well."""
    judged = [s.judged for s in (*defective, *normal) if s.truth is not None]
    found = {words_of(name): value for name, value in mean_scores(judged).items() if math.isfinite(value)}
    if defective and normal:
        scores = [s.score for s in (*defective, *normal)]
        found["image AUROC"] = image_auroc(scores, [True] * len(defective) + [False] * len(normal))
    if ranking := _pixel_ranking([*defective, *normal]):
        known = [s for s in (*defective, *normal) if s.truth is not None]
        maps, masks = [s.scores for s in known], [s.truth for s in known if s.truth is not None]
        fixed = thresholded(maps, masks, normalise=False)
        found |= {
            "pooled AP": ranking.average_precision,
            "PRO": ranking.per_region_overlap(),
            "pixel AUROC": ranking.auroc,
            "mF1 .2-.8": fixed.f1,
            "mAcc .2-.8": fixed.recall,
            "mIoU .2-.8": fixed.iou,
            "mIoU-max": iou_max(maps, masks, normalise=False),
        }
    return found


def mean_figures(evaluations: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean over products of each figure that any of them has."""
    values: dict[str, list[float]] = {}
    for found in evaluations:
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    return {name: float(np.mean(v)) for name, v in values.items()}


def _see(image: LabelledImage, look: Look) -> Seen:
    height, width = image.load().shape[:2]
    shape = bounded_shape((height, width))
    found = highest(look(image))
    scores = cv2.resize(found, shape[::-1], interpolation=cv2.INTER_LINEAR)
    kinds = {label.kind for label in image.labels.values()}
    truth = truth_of(image, shape) if kinds <= SHAPED else None
    judged = image_scores(found, truth_of(image, (found.shape[0], found.shape[1])), image)
    return Seen(image, np.asarray(scores, np.float32), truth, judged)


def _pixel_ranking(seen: Sequence[Seen]) -> Ranking | None:
    """None unless there are pixels of both kinds whose truth is known."""
    known = [(s.scores, s.truth) for s in seen if s.truth is not None]
    if not any(t.any() for _, t in known) or all(t.all() for _, t in known):
        return None
    return rank_pixels([s for s, _ in known], [t for _, t in known])


def _image_ranking(defective: Sequence[Seen], normal: Sequence[Seen]) -> Ranking | None:
    if not defective or not normal:
        return None
    truth = np.arange(len(defective) + len(normal)) < len(defective)
    return rank(np.array([s.score for s in (*defective, *normal)]), truth)


def _thinned(
    x: NDArray[np.float64], y: NDArray[np.float64], origin: bool = True
) -> list[tuple[float, float]]:
    """About ``POINTS`` points of a curve, evenly spaced along it."""
    if origin:
        x, y = np.append(0.0, x), np.append(0.0, y)
    along = np.concatenate(([0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))))
    places = np.unique(np.searchsorted(along, np.linspace(0, along[-1], POINTS)))
    return [(round(float(x[i]), 4), round(float(y[i]), 4)) for i in places]
