"""The figures by which anomaly detectors are compared, of one product: those of ADer (Zhang et al. 2024), exact."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from model.metrics.ranking import Maps, Masks, rank, rank_pixels
from model.metrics.thresholded import iou_max, thresholded

FIGURES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "image_f1": "image F1-max",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "pixel_f1": "pixel F1-max",
    "pro": "PRO",
    "mf1": "mF1",
    "macc": "mAcc",
    "miou": "mIoU",
    "iou_max": "IoU-max",
    "mad": "mAD",
}
"""Every figure and what it is called."""

SUMMED_UP = ("image_auroc", "image_ap", "image_f1", "pixel_auroc", "pixel_ap", "pixel_f1", "pro")
"""The seven whose mean is mAD."""


def detection_figures(
    maps: Maps, masks: Masks, scores: Sequence[float], defective: Sequence[bool]
) -> dict[str, float | None]:
    """All of `FIGURES`, each in [0, 1].

    mF1, mAcc, mIoU (means over the thresholds .2 to .8) and IoU-max stretch the maps of the product to [0, 1] by their
    minimum and maximum, as published figures do; the others depend on nothing but the order of the scores.

    Args:
        maps: of the test images.
        masks: true masks, of the sizes of the maps.
        scores: one an image, higher = more probably defective.
        defective: whether the image is; the mask of a small defect may be empty at the size of its map.

    Returns:
        None for what cannot be measured: without good images those of images, and mAD.

    Raises:
        ValueError: as :func:`model.metrics.ranking.rank`, of pixels.
    """
    images: dict[str, float | None] = dict.fromkeys(("image_auroc", "image_ap", "image_f1"))
    if any(defective) and not all(defective):
        ranked = rank(np.asarray(scores, np.float64), np.asarray(defective, bool))
        images = {
            "image_auroc": ranked.auroc,
            "image_ap": ranked.average_precision,
            "image_f1": ranked.best_f1,
        }
    pixels, fixed = rank_pixels(maps, masks), thresholded(maps, masks)
    found = {
        **images,
        "pixel_auroc": pixels.auroc,
        "pixel_ap": pixels.average_precision,
        "pixel_f1": pixels.best_f1,
        "pro": pixels.per_region_overlap(),
        "mf1": fixed.f1,
        "macc": fixed.recall,
        "miou": fixed.iou,
        "iou_max": iou_max(maps, masks),
    }
    seven = [value for value in (found[name] for name in SUMMED_UP) if value is not None]
    return {**found, "mad": fmean(seven) if len(seven) == len(SUMMED_UP) else None}
