"""How good score maps and masks are: AP, AUROC, PRO, IoU, NoC, and the thresholded family of ADer.

Everything here is exact: scores are sorted, never binned. A histogram of skewed scores (most of them near 0, as behind
a sharp sigmoid) loses up to 18 points of AP at 50 bins. Ties count as one threshold, so the order of equal scores does
not matter. Maps and masks are pooled over all images before anything is computed, unless said otherwise. All results
lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Maps = Sequence[NDArray[np.float32]]
"""One (H, W) score map an image, higher = more defective; sizes may differ between images."""
Masks = Sequence[NDArray[np.bool_]]
"""One (H, W) true mask an image, of the size of its map."""

PRO_LIMIT = 0.3
"""The false-positive rate up to which PRO is integrated, as MVTec's own evaluation does."""


@dataclass(frozen=True)
class Ranking:
    """Scores as thresholds, highest first, with what lies at or above each of the N distinct ones.

    Attributes:
        thresholds: (N,) distinct scores, falling.
        hits: (N,) float64 share of the defective that is found.
        alarms: (N,) float64 share of the defect-free that is found, in error.
        precision: (N,) float64 share of the found that is defective.
        overlap: (N,) float64 mean share of each true region that is found; like ``hits`` where there are no regions.
    """

    thresholds: NDArray[np.float32]
    hits: NDArray[np.float64]
    alarms: NDArray[np.float64]
    precision: NDArray[np.float64]
    overlap: NDArray[np.float64]

    @property
    def average_precision(self) -> float:
        """Area under the precision-recall steps (scikit-learn's definition; no interpolation)."""
        return float(np.sum(np.diff(self.hits, prepend=0.0) * self.precision))

    @property
    def auroc(self) -> float:
        """Area under the receiver operating characteristic; 0.5 = chance, ties count half."""
        return _area(np.append(0.0, self.alarms), np.append(0.0, self.hits))

    @property
    def best_f1(self) -> float:
        """The highest F1 of any threshold (F1-max of ADer): every distinct score is tried, not a grid of them."""
        return float((2 * self.precision * self.hits / (self.precision + self.hits).clip(1e-300)).max())

    def per_region_overlap(self, limit: float = PRO_LIMIT) -> float:
        """Area under ``overlap`` against ``alarms`` up to ``limit``; see :func:`per_region_overlap`."""
        alarms, overlap = np.append(0.0, self.alarms), np.append(0.0, self.overlap)
        kept = alarms <= limit
        at_limit = np.interp(limit, alarms, overlap)
        return _area(np.append(alarms[kept], limit), np.append(overlap[kept], at_limit)) / limit


def rank(
    scores: NDArray[Any], truth: NDArray[np.bool_], weights: NDArray[np.float64] | None = None
) -> Ranking:
    """Sort scores into a :class:`Ranking`, the base of every curve.

    Args:
        scores: (N,) higher = more defective.
        truth: (N,) what is defective.
        weights: (N,) how much each counts in ``overlap``, 0 where nothing is defective; default: ``truth``.

    Raises:
        ValueError: scores that are not finite, or not both kinds of truth.
    """
    if not np.isfinite(scores).all():
        raise ValueError("Scores must be finite numbers; some are NaN or infinite.")
    positives = int(truth.sum())
    if positives in (0, truth.size):
        found = "only defective" if positives else "nothing defective"
        raise ValueError(
            f"This needs defective and defect-free examples; among {truth.size} there is {found}."
        )
    order, ends = _thresholds(scores)
    hits = np.cumsum(truth[order], dtype=np.int64)[ends]
    alarms = ends + 1 - hits
    overlap = hits / positives if weights is None else np.cumsum(weights[order])[ends] / weights.sum()
    return Ranking(
        np.asarray(scores[order][ends], np.float32),
        hits / positives,
        alarms / (truth.size - positives),
        hits / (ends + 1),
        overlap,
    )


def rank_pixels(maps: Maps, masks: Masks) -> Ranking:
    """The ranking of all pixels of all images: AP, AUROC and PRO from one sort. Raises ValueError as :func:`rank`."""
    scores, truth = _pooled(maps, masks)
    return rank(scores, truth, np.concatenate([_region_weights(mask).ravel() for mask in masks]))


def pixel_average_precision(maps: Maps, masks: Masks) -> float:
    """Pixel AP over the pooled pixels. Raises ValueError as :func:`rank`."""
    return rank_pixels(maps, masks).average_precision


def pixel_auroc(maps: Maps, masks: Masks) -> float:
    """Pixel AUROC over the pooled pixels. Raises ValueError as :func:`rank`."""
    return rank_pixels(maps, masks).auroc


def image_auroc(scores: Sequence[float], defective: Sequence[bool]) -> float:
    """Image AUROC: how well one score an image tells defective images from good ones.

    Raises:
        ValueError: as :func:`rank`.
    """
    return rank(np.asarray(scores, np.float64), np.asarray(defective, bool)).auroc


def per_region_overlap(maps: Maps, masks: Masks, limit: float = PRO_LIMIT) -> float:
    """PRO: mean share of each true region that is found, against false alarms (MVTec AD, Bergmann et al. 2021).

    Every 8-connected region counts the same whatever its size: its pixels weigh one over its area. The curve over the
    rate of false alarms is integrated with trapezoids from 0 to ``limit``, interpolated there, and divided by it.

    Args:
        maps: score maps.
        masks: true masks; defect-free images may be among them and then count for the false alarms.
        limit: the largest false-positive rate, in (0, 1].

    Raises:
        ValueError: as :func:`rank`.
    """
    return rank_pixels(maps, masks).per_region_overlap(limit)


def _pooled(maps: Maps, masks: Masks) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    if len(maps) != len(masks) or not maps:
        raise ValueError(
            f"Every map needs its mask, and there must be one; got {len(maps)} and {len(masks)}."
        )
    for number, (scores, mask) in enumerate(zip(maps, masks, strict=True)):
        if scores.shape != mask.shape:
            raise ValueError(f"Map {number} is {scores.shape} and its mask {mask.shape}; they must be equal.")
    return np.concatenate([m.ravel() for m in maps]), np.concatenate([m.ravel() for m in masks]).astype(bool)


def _thresholds(scores: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The order of falling scores, and the last place of each run of equal ones in it."""
    order = np.argsort(-scores, kind="stable")
    return order, np.append(np.nonzero(np.diff(scores[order]))[0], scores.size - 1)


def _region_weights(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(H, W): one over the area of the 8-connected region that a pixel belongs to; 0 outside."""
    labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1]
    areas = np.bincount(labels.ravel()).astype(np.float64)
    weights = 1 / np.maximum(areas, 1)
    weights[0] = 0.0
    return np.asarray(weights[labels])


def _area(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Trapezoids under a curve."""
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))
