"""AP, PRO and AUROC of the probability maps of one product, pooled over its defective images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.benchmark import trials
from adclick_backend.benchmark.protocol import MAPPED
from model.datasets.mvtec import read_mask
from model.metrics.ranking import rank_pixels

LONG_SIDE = 512
"""Masks are compared at most at this size of their longer side, as in the published tables of the method."""

Figures = dict[str, dict[int, float]]
"""AP, PRO, AUROC -> number of clicks -> percent."""


def pixel_figures(pairs: Sequence[tuple[Path, Path]]) -> Figures:
    """Measure the maps of the images of one product.

    Args:
        pairs: a kept trial (:mod:`adclick_backend.benchmark.trials`) and the true mask's file, for each image.

    Returns:
        Empty numbers where a method has no maps after so many clicks.
    """
    figures: Figures = {"AP": {}, "PRO": {}, "AUROC": {}}
    if not pairs:
        return figures
    stored = [trials.load(path) for path, _ in pairs]
    masks = [_bounded(read_mask(file)) for _, file in pairs]
    for count in MAPPED:
        if not all(count in trial.logits for trial in stored):
            continue
        maps = [
            cv2.resize(t.logits[count].astype(np.float32), mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
            for t, mask in zip(stored, masks, strict=True)
        ]
        ranking = rank_pixels(maps, masks)  # type: ignore[arg-type]
        figures["AP"][count] = 100 * ranking.average_precision
        figures["PRO"][count] = 100 * ranking.per_region_overlap()
        figures["AUROC"][count] = 100 * ranking.auroc
    return figures


def bounded_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width (H, W) scaled down, if need be, to at most ``LONG_SIDE`` on the longer side."""
    scale = min(1.0, LONG_SIDE / max(shape))
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _bounded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask at its bounded shape; what is mostly defect stays defect."""
    shape = bounded_shape(mask.shape)
    if shape == mask.shape:
        return mask
    return np.asarray(cv2.resize(mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA) >= 0.5)
