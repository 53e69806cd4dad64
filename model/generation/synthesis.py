"""Synthetic defects on defect-free images, each with its true mask.

What factories see, drawn: scratches, scuffs, cracks, pits, stains, dents, fibres and particles, torn-out and misplaced
pieces, and the noise-masked textures of the literature (DRAEM, MemSeg). Everything is made from the image itself and
from noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Float = NDArray[np.float32]


def add_defect(image: Image, rng: np.random.Generator, kind: str | None = None) -> tuple[Image, Mask, str]:
    """A copy of ``image`` with one defect (sometimes a group of the same kind).

    Args:
        image: (H, W, 3) uint8 RGB, free of defects.
        rng: source of all randomness.
        kind: one of :data:`KINDS`; default: any.

    Returns:
        The image, the mask (H, W) of the pixels that the defect visibly changed, and the kind. The mask is never
        empty.
    """
    for _ in range(20):
        name = kind or str(rng.choice(list(KINDS)))
        alpha, colour = KINDS[name](image, rng)
        result, changed = _blended(image, alpha, colour)
        mask = (alpha > 0.25) & (cv2.blur(changed, (3, 3)) > 6)
        mask = _as_painted(mask, rng)
        if mask.sum() >= 12 and mask.mean() < 0.4:
            return result, mask, name
    return _fallback(image, rng)


STRIP = 128
"""Rows that are computed at a time, where the numbers on the way take several times the memory of the image."""


def _strips(height: int) -> Iterator[slice]:
    return (slice(top, min(top + STRIP, height)) for top in range(0, height, STRIP))


def _by_strips(shape: tuple[int, ...], compute: Callable[[slice], NDArray[Any]]) -> Float:
    """What ``compute`` gives for the rows of a slice, all of them one below the other, (H, W, 3) float32."""
    out = np.empty(shape, np.float32)
    for rows in _strips(shape[0]):
        out[rows] = compute(rows)
    return out


def _blended(image: Image, alpha: Float, colour: Float) -> tuple[Image, Float]:
    """The image with the colour over it, and how far the channel that changed most changed, (H, W) float32."""
    result, changed = np.empty_like(image), np.empty(image.shape[:2], np.float32)
    for rows in _strips(image.shape[0]):
        part = image[rows]
        blended = part + alpha[rows][..., None] * (colour[rows] - part)
        result[rows] = np.clip(np.rint(blended), 0, 255).astype(np.uint8)
        changed[rows] = np.abs(result[rows].astype(np.int16) - part).max(2)
    return result, changed


def _as_painted(mask: Mask, rng: np.random.Generator) -> Mask:
    """The mask as a person paints it: gaps of a few pixels closed, sometimes a pixel too wide."""
    reach = int(rng.choice([3, 5, 9]))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    padded = np.pad(mask.astype(np.uint8), reach)
    painted = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[reach:-reach, reach:-reach]
    if rng.random() < 0.4:
        painted = cv2.dilate(painted, np.ones((3, 3), np.uint8))
    return np.asarray(painted > 0)


def noise(shape: tuple[int, int], rng: np.random.Generator, cells: int) -> Float:
    """Smooth noise in [0, 1] of about ``cells`` bumps along the longer side, (H, W) float32."""
    h, w = shape
    side = max(h, w)
    grid = rng.random((max(2, round(cells * h / side) + 2), max(2, round(cells * w / side) + 2))).astype(
        np.float32
    )
    field = cv2.resize(grid, (w, h), interpolation=cv2.INTER_CUBIC)
    low, high = float(field.min()), float(field.max())
    return np.asarray((field - low) / max(high - low, 1e-6), np.float32)


def _blob(shape: tuple[int, int], rng: np.random.Generator, radius: float, rough: float = 0.5) -> Float:
    """A soft-edged irregular blob, alpha (H, W) in [0, 1]."""
    h, w = shape
    x, y = rng.uniform(0.08, 0.92) * w, rng.uniform(0.08, 0.92) * h
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(1, 2.2)
    yy, xx = np.mgrid[:h, :w].astype(np.float32)
    u = (xx - x) * np.cos(angle) + (yy - y) * np.sin(angle)
    v = (-(xx - x) * np.sin(angle) + (yy - y) * np.cos(angle)) * stretch
    distance = (
        np.hypot(u, v) / radius + rough * (noise(shape, rng, max(2, int(max(h, w) / radius * 1.5))) - 0.5) * 2
    )
    return np.asarray(np.clip((1 - distance) * rng.uniform(2, 8), 0, 1), np.float32)


def _path(
    shape: tuple[int, int], rng: np.random.Generator, length: float, bend: float, width: float
) -> Float:
    """A wandering line of varying width, anti-aliased, alpha (H, W) in [0, 1]."""
    h, w = shape
    point = np.array([rng.uniform(0.1, 0.9) * w, rng.uniform(0.1, 0.9) * h])
    heading, step = rng.uniform(0, 2 * np.pi), max(2.0, length / 24)
    canvas = np.zeros((h * 2, w * 2), np.uint8)
    for i in range(24):
        heading += rng.normal(0, bend)
        following = point + step * np.array([np.cos(heading), np.sin(heading)])
        taper = np.sin(np.pi * (i + 1.5) / 26)
        thickness = max(1, round(2 * width * taper * rng.uniform(0.7, 1.3)))
        a, b = (tuple(int(c) for c in p * 2) for p in (point, following))
        cv2.line(canvas, a, b, 255, thickness, cv2.LINE_AA)
        point = following
    coverage = cv2.resize(canvas, (w, h), interpolation=cv2.INTER_AREA)
    return np.asarray(coverage / np.float32(255), np.float32)


def _shape(image: Image) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _scale(image: Image) -> float:
    return max(_shape(image)) / 512


def _tone(image: Image, rng: np.random.Generator, low: float, high: float) -> Float:
    """The image darker or lighter, with a little colour of its own."""
    sign = 1 if rng.random() < 0.5 else -1
    shift = sign * rng.uniform(low, high) + rng.normal(0, 6, 3)
    return _by_strips(image.shape, lambda rows: np.clip(image[rows] + shift, 0, 255))


def scratch(image: Image, rng: np.random.Generator) -> tuple[Float, Float]:
    """One to four nearly straight thin lines, brighter or darker."""
    s, shape = _scale(image), _shape(image)
    lines = [
        _path(shape, rng, rng.uniform(30, 260) * s, 0.05, rng.uniform(0.6, 2.2) * s)
        for _ in range(rng.integers(1, 5))
    ]
    return np.maximum.reduce(lines) * np.float32(rng.uniform(0.6, 1)), _tone(image, rng, 30, 110)


def crack(image: Image, rng: np.random.Generator) -> tuple[Float, Float]:
    """Dark, jagged, sometimes branching lines."""
    s, shape = _scale(image), _shape(image)
    lines = [
        _path(shape, rng, rng.uniform(60, 320) * s, rng.uniform(0.25, 0.6), rng.uniform(0.8, 3.5) * s)
        for _ in range(rng.integers(1, 3))
    ]
    return np.maximum.reduce(lines), np.asarray(image * rng.uniform(0.15, 0.6), np.float32)


def pits(image: Image, rng: np.random.Generator) -> tuple[Float, Float]:
    """Small holes or particles, alone or in groups."""
    s, shape = _scale(image), _shape(image)
    spots = [_blob(shape, rng, rng.uniform(2.5, 14) * s, 0.3) for _ in range(rng.integers(1, 6))]
    return np.maximum.reduce(spots), _tone(image, rng, 40, 130)


def stain(image: Image, rng: np.random.Generator) -> tuple[Float, Float]:
    """A patch of another colour through which the surface shows."""
    alpha = _blob(_shape(image), rng, rng.uniform(12, 90) * _scale(image), 0.7)
    colour = rng.uniform(0, 255, 3).astype(np.float32)
    return alpha * np.float32(rng.uniform(0.3, 0.9)), np.broadcast_to(colour, image.shape)


def dent(image: Image, rng: np.random.Generator) -> tuple[Float, Float]:
    """A bump: lit on one side, shaded on the other."""
    h, w = _shape(image)
    height = cv2.GaussianBlur(
        _blob((h, w), rng, rng.uniform(14, 70) * _scale(image), 0.25), (0, 0), 5 * _scale(image)
    )
    gy, gx = np.gradient(height)
    angle = rng.uniform(0, 2 * np.pi)
    shade = gx * np.cos(angle) + gy * np.sin(angle)
    shade = shade / max(float(np.abs(shade).max()), 1e-6)
    return np.asarray(np.clip(np.abs(shade) * 3, 0, 1), np.float32), np.asarray(
        image + shade[..., None] * rng.uniform(50, 120), np.float32
    )


def misplaced(image: Image, rng: np.random.Generator) -> tuple[Float, Float]:
    """A piece of the same image in another place, perhaps turned."""
    h, w = _shape(image)
    alpha = np.asarray(_blob((h, w), rng, rng.uniform(12, 80) * _scale(image), 0.5) > 0.3, np.float32)
    turned = np.rot90(image, int(rng.choice([0, 1, 2, 3] if h == w else [0, 2])))
    by = int(rng.integers(h // 6, h - h // 6)), int(rng.integers(w // 6, w - w // 6))
    softened = np.asarray(cv2.GaussianBlur(alpha, (0, 0), 0.8), np.float32)
    return softened, np.asarray(np.roll(turned, by, (0, 1)), np.float32)


def texture(image: Image, rng: np.random.Generator) -> tuple[Float, Float]:
    """The image, its tiles shuffled and its tones changed, behind a mask of thresholded noise."""
    h, w = _shape(image)
    alpha = np.asarray(
        (noise((h, w), rng, int(2 ** rng.uniform(1, 4.5))) > rng.uniform(0.66, 0.8)), np.float32
    )
    window = _blob((h, w), rng, rng.uniform(40, 130) * _scale(image), 0.2) > 0
    th, tw = h // 8, w // 8
    tiles = [image[r * th : (r + 1) * th, c * tw : (c + 1) * tw] for r in range(8) for c in range(8)]
    order = rng.permutation(64)
    shuffled = np.concatenate(
        [np.concatenate([tiles[i] for i in order[r * 8 : r * 8 + 8]], 1) for r in range(8)], 0
    )
    other = cv2.resize(shuffled, (w, h)).astype(np.float32)
    other = np.clip((other / 255) ** rng.uniform(0.5, 2) * 255 + rng.normal(0, 25, 3), 0, 255)
    return alpha * window * np.float32(rng.uniform(0.5, 1)), np.asarray(other, np.float32)


def smear(image: Image, rng: np.random.Generator) -> tuple[Float, Float]:
    """A patch whose texture is rubbed away."""
    s = _scale(image)
    alpha = _blob(_shape(image), rng, rng.uniform(16, 80) * s, 0.5)
    blurred = cv2.GaussianBlur(image, (0, 0), rng.uniform(3, 9) * s).astype(np.float32)
    return alpha, blurred + np.float32(rng.normal(0, 14))


def scuff(image: Image, rng: np.random.Generator) -> tuple[Float, Float]:
    """Many fine lines in one direction within a patch: rubbed, not cut."""
    s, (h, w) = _scale(image), _shape(image)
    angle = rng.uniform(0, 180)
    streaks = rng.normal(0, 1, (h, w)).astype(np.float32)
    length = max(5, int(rng.uniform(12, 40) * s)) | 1
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length**0.5
    turn = cv2.getRotationMatrix2D((length // 2, length // 2), angle, 1.0)
    drawn = np.asarray(cv2.filter2D(streaks, -1, cv2.warpAffine(kernel, turn, (length, length))), np.float32)
    patch = _blob((h, w), rng, rng.uniform(16, 80) * s, 0.4)
    return np.asarray(patch * np.clip(drawn + 0.3, 0, 1), np.float32), _tone(image, rng, 25, 80)


def fibre(image: Image, rng: np.random.Generator) -> tuple[Float, Float]:
    """A hair or thread that lies on the surface, in a colour of its own."""
    s, shape = _scale(image), _shape(image)
    line = _path(shape, rng, rng.uniform(40, 220) * s, rng.uniform(0.15, 0.5), rng.uniform(0.8, 2.5) * s)
    colour = rng.uniform(10, 245) + rng.normal(0, 25, 3)
    return line, np.asarray(np.broadcast_to(np.clip(colour, 0, 255), image.shape), np.float32)


def particle(image: Image, rng: np.random.Generator) -> tuple[Float, Float]:
    """A foreign body with a shape, a shine and a shadow."""
    s, shape = _scale(image), _shape(image)
    body = _blob(shape, rng, rng.uniform(5, 32) * s, 0.4)
    gy, gx = np.gradient(cv2.GaussianBlur(body, (0, 0), 2 * s))
    light, strength = np.clip((gx + gy) * 6 * s, -1, 1), rng.uniform(20, 90)
    shift = max(1, round(2 * s))
    shadow = np.clip(np.roll(body, (shift, shift), (0, 1)) - body, 0, 1)
    own = rng.uniform(10, 245) + rng.normal(0, 25, 3)

    def mixed(rows: slice) -> NDArray[Any]:
        colour = np.clip(own + light[rows][..., None] * strength, 0, 255)
        return np.where(body[rows][..., None] > shadow[rows][..., None], colour, image[rows] * 0.5)

    return np.maximum(body, shadow * np.float32(0.7)), _by_strips(image.shape, mixed)


def torn(image: Image, rng: np.random.Generator) -> tuple[Float, Float]:
    """A piece broken out: what lies behind shows, darker, with a rough rim."""
    s, shape = _scale(image), _shape(image)
    hole = _blob(shape, rng, float(np.exp(rng.uniform(np.log(8), np.log(90)))) * s, 0.9)
    dark, grain = rng.uniform(5, 90) + rng.normal(0, 8, 3), noise(shape, rng, 60)

    def colour(rows: slice) -> NDArray[Any]:
        behind = dark + 25 * (grain[rows][..., None] - 0.5)
        rim = np.clip(1 - np.abs(hole[rows] - 0.5) * 2, 0, 1)[..., None]
        return np.asarray(behind * (1 - rim) + np.clip(image[rows] + 50.0, 0, 255) * rim)

    return hole, _by_strips(image.shape, colour)


def _fallback(image: Image, rng: np.random.Generator) -> tuple[Image, Mask, str]:
    """A filled disc in the inverse colour: always visible."""
    mask = np.zeros(_shape(image), np.uint8)
    h, w = mask.shape
    cv2.circle(mask, (int(rng.integers(w)), int(rng.integers(h))), max(4, min(h, w) // 20), 1, -1)
    result = image.copy()
    result[mask > 0] = np.where(image[mask > 0] > 127, image[mask > 0] - 110, image[mask > 0] + 110)
    return result, mask > 0, "pits"


KINDS: dict[str, Callable[[Image, np.random.Generator], tuple[Float, Float]]] = {
    f.__name__: f
    for f in (scratch, scuff, crack, pits, stain, dent, fibre, particle, torn, misplaced, texture, smear)
}
