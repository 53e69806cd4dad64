"""Textures behind thresholded Perlin noise: pseudo-anomalies of DRAEM (Zavrtanik et al., ICCV 2021, section 3.3)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from model.generation.products import SURFACES
from model.generation.synthesis import Image, Mask

FINEST = 5  # the noise has 2 to 2 ** FINEST cells along each axis
THRESHOLD = 0.5
TURN = 5.0  # degrees that the noise is turned by, at most
TRANSPARENT = 0.8  # at most

Field = NDArray[np.float32]


def perlin(shape: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator) -> Field:
    """Perlin's gradient noise (SIGGRAPH 1985), (H, W) float32 in about [-1, 1], zero at the corners of the cells.

    Args:
        shape: H and W.
        cells: how many along y and x.
        rng: of the gradients.
    """
    angle = rng.uniform(0, 2 * np.pi, (cells[0] + 1, cells[1] + 1))
    slope_y, slope_x = np.sin(angle), np.cos(angle)
    y, x = (
        (np.arange(side, dtype=np.float64) + 0.5) * count / side
        for side, count in zip(shape, cells, strict=True)
    )
    row, column = np.minimum(y.astype(int), cells[0] - 1), np.minimum(x.astype(int), cells[1] - 1)
    v, u = (y - row)[:, None], (x - column)[None]
    corners = [
        slope_y[row + i][:, column + j] * (v - i) + slope_x[row + i][:, column + j] * (u - j)
        for i in (0, 1)
        for j in (0, 1)
    ]
    fade_v, fade_u = (t**3 * (t * (6 * t - 15) + 10) for t in (v, u))
    top = corners[0] + fade_u * (corners[1] - corners[0])
    bottom = corners[2] + fade_u * (corners[3] - corners[2])
    return np.asarray(2**0.5 * (top + fade_v * (bottom - top)), np.float32)


def perlin_defect(image: Image, rng: np.random.Generator) -> tuple[Image, Mask]:
    """A copy of ``image`` with a foreign texture where Perlin noise is high.

    The texture is drawn (:data:`model.generation.products.SURFACES`); the authors take photographs of textures, whose
    licence allows research only.

    Args:
        image: (H, W, 3) uint8 RGB.
        rng: source of all randomness.

    Returns:
        The image, and the mask (H, W) of what was covered; never empty.
    """
    height, width = image.shape[:2]
    mask = np.zeros((height, width), bool)
    while not mask.any():
        cells = (int(2 ** rng.integers(1, FINEST + 1)), int(2 ** rng.integers(1, FINEST + 1)))
        mask = _turned(perlin((height, width), cells, rng), rng) > THRESHOLD
    opacity = np.float32(1 - rng.uniform(0, TRANSPARENT))
    result = image.copy()
    foreign = texture((height, width), rng)
    result[mask] = np.rint(image[mask] * (1 - opacity) + foreign[mask] * opacity).astype(np.uint8)
    return result, mask


def texture(shape: tuple[int, int], rng: np.random.Generator) -> Image:
    """A drawn texture (H, W, 3) uint8, perhaps mirrored, inverted, and with its channels exchanged."""
    name = str(rng.choice(list(SURFACES)))
    drawn = np.asarray(cv2.resize(SURFACES[name](rng, rng), shape[::-1], interpolation=cv2.INTER_AREA))
    if rng.random() < 0.5:
        drawn = drawn[:, ::-1]
    if rng.random() < 0.5:
        drawn = 255 - drawn
    drawn = drawn[..., rng.permutation(3)]
    return np.asarray(np.clip(np.rint(drawn), 0, 255), np.uint8)


def _turned(field: Field, rng: np.random.Generator) -> Field:
    h, w = field.shape
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), rng.uniform(-TURN, TURN), 1.0)
    return np.asarray(cv2.warpAffine(field, turn, (w, h), flags=cv2.INTER_LINEAR), np.float32)
