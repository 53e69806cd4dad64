"""Labelled defects cut out of their images and pasted on defect-free ones."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.labels.labelled import SHAPED, LabelledImage

MARGIN = 3  # pixels round the mask that come along, faded: the seam must not be what is learned
TURN = 45.0  # degrees, at most
SCALES = (0.8, 1.2)


@dataclass(frozen=True)
class Cut:
    """A defect cut out of its image.

    Attributes:
        type: of the defect.
        pixels: (h, w, 3) uint8, the patch.
        mask: (h, w) bool.
        centre: (x, y) of the patch in its image, as a share of the image's width and height.
        size: (height, width) of the image it comes from.
    """

    type: str
    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    centre: tuple[float, float]
    size: tuple[int, int]


def cut_defect(image: LabelledImage) -> Cut | None:
    """The largest defect of an image whose shape is known; None when there is only a box or a tag, or nothing."""
    best: tuple[int, str, NDArray[np.uint8]] | None = None
    for name, label in image.labels.items():
        if label.kind not in SHAPED:
            continue
        labels, parts, statistics = _parts(label.target >= 0.5)
        if labels < 2:
            continue
        part = 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())
        area = int(statistics[part, cv2.CC_STAT_AREA])
        if best is None or area > best[0]:
            best = area, name, (parts == part).astype(np.uint8)
    if best is None:
        return None
    _, name, mask = best
    pixels = image.load()
    x, y, w, h = cv2.boundingRect(mask)
    pad = MARGIN + 2
    rows = slice(max(0, y - pad), y + h + pad)
    columns = slice(max(0, x - pad), x + w + pad)
    height, width = mask.shape
    centre = ((x + w / 2) / width, (y + h / 2) / height)
    return Cut(name, pixels[rows, columns].copy(), mask[rows, columns] > 0, centre, (height, width))


def paste(
    cut: Cut, host: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The host with the defect on it, turned by up to 45 degrees and resized by up to a fifth.

    It lands near the place it comes from, where it would be found on the product, within a tenth of the image.

    Args:
        cut: the defect.
        host: (H, W, 3) uint8 RGB, free of defects.
        rng: source of all randomness.

    Returns:
        The image, and the mask (H, W) of the pasted defect.
    """
    height, width = host.shape[:2]
    to_host = max(height, width) / max(cut.size)
    scale = to_host * rng.uniform(*SCALES)
    x, y = (c + rng.uniform(-0.1, 0.1) for c in cut.centre)
    h, w = cut.mask.shape
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), rng.uniform(-TURN, TURN), scale)
    shift = np.array([[0, 0, x * width - w / 2], [0, 0, y * height - h / 2]])
    turn = np.asarray(turn + shift)
    moved = cv2.warpAffine(cut.pixels, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpAffine(cut.mask.astype(np.float32), turn, (width, height)) > 0.5
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((2 * MARGIN + 1,) * 2, np.uint8)).astype(np.float32)
    inside = cv2.warpAffine(np.ones((h, w), np.float32), turn, (width, height))
    fade = np.maximum(cv2.GaussianBlur(grown, (0, 0), 1.5), mask) * inside
    blended = host + fade[..., None] * (moved.astype(np.float32) - host)
    return np.clip(np.rint(blended), 0, 255).astype(np.uint8), np.asarray(mask)


def _parts(mask: NDArray[np.bool_]) -> tuple[int, NDArray[np.int32], NDArray[np.int32]]:
    count, parts, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return count, np.asarray(parts, np.int32), np.asarray(statistics, np.int32)
