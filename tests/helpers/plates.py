"""Drawn plates with stains, and a predictor that sees them small: quick material for tests of ADClick-Seg."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.interactive.predictor import Predictor
from model.labels.labelled import Kind, LabelledImage, WeakLabel


class SmallPredictor(Predictor):
    """The packaged network on a working frame of 128 px."""

    def __init__(self, weights: Path | None = None, asked: str = "auto") -> None:
        super().__init__(weights, asked=asked)
        self.long_side = 128


def plate(seed: int) -> NDArray[np.uint8]:
    """A grained plate with a disc, (96, 128, 3) uint8."""
    rng = np.random.default_rng(seed)
    image = np.clip(rng.normal(130, 6, (96, 128, 3)), 0, 255).astype(np.uint8)
    cv2.circle(image, (64, 48), 25, (200, 180, 160), -1)
    return image


def stained(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A plate with a dark red stain, and the stain's mask."""
    image, rng = plate(seed), np.random.default_rng([seed, 1])
    mask = np.zeros(image.shape[:2], np.uint8)
    centre = int(rng.integers(20, 108)), int(rng.integers(16, 80))
    cv2.ellipse(mask, centre, (12, 8), float(rng.integers(180)), 0, 360, 1, -1)
    image[mask > 0] = (120, 20, 20)
    return image, mask > 0


def labelled(seed: int, kind: Kind = "mask", type: str = "stain") -> LabelledImage:
    """A stained plate with a label of the given kind."""
    image, mask = stained(seed)
    target = mask.astype(np.float32)
    if kind == "clicked":
        target = np.asarray(cv2.GaussianBlur(target, (0, 0), 1.5), np.float32)
    if kind == "box":
        x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
        target[max(0, y - 4) : y + h + 4, max(0, x - 4) : x + w + 4] = 1
    if kind == "tag":
        target[:] = 1
    certain = np.full(mask.shape, kind == "mask")
    return LabelledImage(f"{seed:064x}", lambda: image, {type: WeakLabel(kind, target, certain)})
