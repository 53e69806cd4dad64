"""The thresholded metrics of ADer: mF1, mAcc, mIoU over fixed thresholds, and mIoU-max."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.metrics.ranking import Maps, Masks, _pooled

FIXED_THRESHOLDS = tuple(i / 10 for i in range(2, 9))

SEARCHED_THRESHOLDS = tuple(i / 20 for i in range(21))


@dataclass(frozen=True)
class Thresholded:
    """Means over the thresholds .2, .3 ... .8 (mF1, mAcc, mIoU of ADer), each in [0, 1].

    ``recall`` is what ADer calls Acc: the share of the defective pixels that is found.
    """

    f1: float
    recall: float
    iou: float


def thresholded(maps: Maps, masks: Masks, normalise: bool = True) -> Thresholded:
    """mF1, mAcc and mIoU over the thresholds .2 to .8, of pooled pixels (ADer, ``.2_.8``); found = score > threshold.

    Unlike AP and AUROC these depend on the scale of the scores. ADer stretches the scores of a product to [0, 1] by
    their minimum and maximum: published figures need that, but one extreme pixel squeezes all others and moves every
    threshold. ``normalise=False`` takes calibrated scores in [0, 1] as they are; never compare the two kinds.

    Raises:
        ValueError: as :func:`rank`.
    """
    found, hit, positives = _counts(maps, masks, FIXED_THRESHOLDS, normalise)
    precision, recall = hit / np.maximum(found, 1), hit / positives
    f1 = 2 * precision * recall / (precision + recall + 1e-8)
    overlap = hit / (found + positives - hit)
    return Thresholded(float(f1.mean()), float(recall.mean()), float(overlap.mean()))


def iou_max(maps: Maps, masks: Masks, normalise: bool = True) -> float:
    """mIoU-max of ADer: the best pooled IoU among the thresholds 0, .05 ... 1; see :func:`thresholded`.

    Raises:
        ValueError: as :func:`rank`.
    """
    found, hit, positives = _counts(maps, masks, SEARCHED_THRESHOLDS, normalise)
    return float((hit / (found + positives - hit)).max())


def _counts(
    maps: Maps, masks: Masks, thresholds: Sequence[float], normalise: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Found and rightly found pixels at each threshold, and how many are defective."""
    scores, truth = _pooled(maps, masks)
    positives = int(truth.sum())
    if positives == 0:
        raise ValueError("This needs defective examples; all masks are empty.")
    if normalise:
        low, high = scores.min(), scores.max()
        scores = (scores - low) / max(float(high - low), 1e-12)
    found = [scores > threshold for threshold in thresholds]
    counts = np.array([[f.sum(), (f & truth).sum()] for f in found], np.int64)
    return counts[:, 0], counts[:, 1], positives
