"""Products that never existed, drawn: so that training sees more of them than anybody has photographed.

A :class:`Product` is a design: a surface and parts on it. Its images vary as photographs of good pieces do, in pose,
light, grain and tone, while the design stays the same, so that references say something about each of them. Leaving a
part out gives the one defect that only references can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.generation.synthesis import Float, Image, Mask, noise

SIDE = 384
"""Pixels of a drawn image, which is square."""

Generator = np.random.Generator


@dataclass(frozen=True)
class Part:
    """Something mounted on a surface, in shares of the image's side."""

    shape: str  # disc, ring, box, line
    x: float
    y: float
    size: float
    angle: float
    colour: tuple[float, float, float]


class Product:
    """One design; ``image`` photographs pieces of it.

    Args:
        seed: decides the design.
    """

    def __init__(self, seed: int):
        rng = np.random.default_rng([77, seed])
        self.surface = list(SURFACES)[seed % len(SURFACES)]
        self._surface_seed = int(rng.integers(2**31))
        self.mounted = self.surface in MOUNTED
        self.turns = self.mounted and bool(rng.random() < 0.3)
        self.looseness = float(rng.choice([0.0, 0.01, 0.03]))
        self.blur, self.grain = float(rng.uniform(0.4, 1.1)), float(rng.uniform(1, 5))
        self.parts = self._design(rng) if self.mounted else []
        self.outline = self._outline(rng) if self.mounted and rng.random() < 0.6 else None
        self.background = rng.uniform(10, 245) + rng.normal(0, 8, 3)

    def image(self, rng: Generator) -> Image:
        """A good piece, (SIDE, SIDE, 3) uint8 RGB."""
        return self._photograph(int(rng.integers(2**31)), None)

    def lacking(self, rng: Generator) -> tuple[Image, Mask] | None:
        """A piece without one of its parts, and where that shows; None when nothing is mounted on it."""
        if not self.parts:
            return None
        seed, missing = int(rng.integers(2**31)), int(rng.integers(len(self.parts)))
        whole, lacking = self._photograph(seed, None), self._photograph(seed, missing)
        changed = cv2.blur(np.abs(whole.astype(np.float32) - lacking).max(2), (3, 3)) > 8
        mask = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
        return (lacking, mask) if mask.sum() >= 30 else None

    def _design(self, rng: Generator) -> list[Part]:
        palette = rng.uniform(15, 240, (3, 3))
        parts = []
        for _ in range(int(rng.integers(3, 14))):
            x, y = rng.uniform(0.2, 0.8, 2)
            shape = str(rng.choice(["disc", "ring", "box", "line"]))
            colour = tuple(float(c) for c in palette[rng.integers(3)] + rng.normal(0, 12, 3))
            angle = float(rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)]))
            parts.append(Part(shape, x, y, float(np.exp(rng.uniform(-3.8, -2.0))), angle, colour))  # type: ignore[arg-type]
        return parts

    def _outline(self, rng: Generator) -> NDArray[np.float64]:
        """(N, 2) corners of the piece's outline, a polygon or nearly a circle, in shares of the side."""
        corners = int(rng.choice([4, 6, 8, 40]))
        angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, 1)
        radius = rng.uniform(0.36, 0.47) * (1 + rng.normal(0, 0.03, corners))
        return np.stack([0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle)], 1)

    def _photograph(self, seed: int, missing: int | None) -> Image:
        rng = np.random.default_rng(seed)
        canvas = SURFACES[self.surface](np.random.default_rng(self._surface_seed), rng)
        for i, part in enumerate(self.parts):
            slip = rng.normal(0, self.looseness, 2) if self.looseness else np.zeros(2)
            tone = rng.normal(0, 3)
            if i != missing:
                _mount(canvas, part, slip, tone)
        if self.outline is not None:
            piece = np.zeros((SIDE, SIDE), np.float32)
            cv2.fillPoly(piece, [np.asarray(self.outline * SIDE, np.int32)], 1.0, cv2.LINE_AA)
            canvas = np.asarray(
                canvas * piece[..., None] + self.background * (1 - piece[..., None]), np.float32
            )
        if self.mounted:
            canvas = self._place(canvas, rng)
        return self._expose(canvas, rng)

    def _place(self, canvas: Float, rng: Generator) -> Float:
        """Turn and shift the piece as loosely as this product lies under the camera."""
        angle = rng.uniform(0, 360) if self.turns else rng.normal(0, 1.5)
        turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), angle, float(rng.normal(1, 0.01)))
        turn[:, 2] = turn[:, 2] + rng.normal(0, 0.012 * SIDE, 2)
        mode = cv2.BORDER_CONSTANT if self.outline is not None else cv2.BORDER_REFLECT
        fill = tuple(float(c) for c in self.background)
        return np.asarray(
            cv2.warpAffine(canvas, turn, (SIDE, SIDE), borderMode=mode, borderValue=fill), np.float32
        )

    def _expose(self, canvas: Float, rng: Generator) -> Image:
        """Light from one side, the lens's blur, the sensor's noise."""
        light = 1 + 0.12 * (noise((SIDE, SIDE), rng, 2) - 0.5) + rng.normal(0, 0.03)
        exposed = cv2.GaussianBlur(canvas * light[..., None], (0, 0), self.blur)
        image: Image = np.clip(exposed + rng.normal(0, self.grain, exposed.shape), 0, 255).astype(np.uint8)
        return image


def _mount(canvas: Float, part: Part, slip: NDArray[np.float64], tone: float) -> None:
    """Draw a part and its shadow onto a surface, in place."""
    x, y, size = (part.x + slip[0]) * SIDE, (part.y + slip[1]) * SIDE, part.size * SIDE
    colour = tuple(c + tone for c in part.colour)
    for dx, shade in ((0.06 * size, tuple(c * 0.45 for c in colour)), (0.0, colour)):
        centre = (round((x + dx) * 16), round((y + dx) * 16))
        if part.shape in ("disc", "ring"):
            thickness = -1 if part.shape == "disc" else max(1, round(size * 0.35))
            cv2.circle(canvas, centre, round(size * 16), shade, thickness, cv2.LINE_AA, 4)
        else:
            long, thin = (
                (size * 1.3, size * 0.7) if part.shape == "box" else (size * 2.4, max(1.0, size * 0.12))
            )
            box = ((x + dx, y + dx), (2 * long, 2 * thin), float(np.degrees(part.angle)))
            cv2.fillPoly(canvas, [np.asarray(cv2.boxPoints(box), np.int32)], shade, cv2.LINE_AA)


def _base(design: Generator, low: float = 40, high: float = 220) -> NDArray[np.float64]:
    return design.uniform(low, high) + design.normal(0, 14, 3)


def _tinted(design: Generator, field: Float, depth: float) -> Float:
    """A field of zero mean in a design's colours, (SIDE, SIDE, 3) float32."""
    tint = 1 + design.normal(0, 0.15, 3)
    return np.asarray(_base(design) + depth * field[..., None] * tint, np.float32)


def _grid() -> tuple[Float, Float]:
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    return rows, columns


def _bent(piece: Generator, amount: float) -> tuple[Float, Float]:
    """Coordinates of a surface that lies a little turned, shifted and stretched, as cloth does."""
    rows, columns = _grid()
    angle, shift = piece.normal(0, 0.03), piece.uniform(0, SIDE, 2)
    wave = amount * (noise((SIDE, SIDE), piece, 4) - 0.5)
    u = columns * np.cos(angle) + rows * np.sin(angle) + shift[0] + wave
    v = rows * np.cos(angle) - columns * np.sin(angle) + shift[1] + wave
    return np.asarray(u, np.float32), np.asarray(v, np.float32)


def plain(design: Generator, piece: Generator) -> Float:
    """Painted or moulded, with a faint unevenness."""
    return _tinted(design, noise((SIDE, SIDE), piece, 6) - 0.5, design.uniform(2, 14))


def brushed(design: Generator, piece: Generator) -> Float:
    """Metal with the marks of the tool, straight or round."""
    lines = piece.normal(0, 1, SIDE * 2).astype(np.float32)
    lines = cv2.GaussianBlur(lines[None], (0, 0), design.uniform(0.6, 2.0))[0]
    rows, columns = _grid()
    if design.random() < 0.4:
        place = np.hypot(rows - SIDE / 2, columns - SIDE / 2) * 1.3
    else:
        angle = design.uniform(0, np.pi) + piece.normal(0, 0.02)
        place = np.abs(rows * np.cos(angle) + columns * np.sin(angle))
    field = lines[np.clip(place, 0, len(lines) - 1).astype(np.int32)]
    return _tinted(design, field / max(float(np.abs(field).max()), 1e-6), design.uniform(10, 35))


def woven(design: Generator, piece: Generator) -> Float:
    """Threads over and under each other."""
    period, depth = design.uniform(5, 22), design.uniform(15, 60)
    u, v = _bent(piece, design.uniform(0, 10))
    over = np.sign(np.sin(np.pi * u / period) * np.sin(np.pi * v / period))
    thread = np.where(over > 0, np.abs(np.sin(np.pi * u / period)), np.abs(np.sin(np.pi * v / period)))
    fuzz = piece.normal(0, 0.2, (SIDE, SIDE))
    return _tinted(design, np.asarray(thread - 0.6 + 0.25 * over + fuzz, np.float32), depth)


def mesh(design: Generator, piece: Generator) -> Float:
    """A grid of bars over a ground of another tone."""
    period, bar = design.uniform(12, 48), design.uniform(0.12, 0.35)
    u, v = _bent(piece, design.uniform(0, 4))
    if design.random() < 0.5:
        u, v = u + v, u - v
    bars = np.minimum((u / period) % 1, (v / period) % 1) < bar
    return _tinted(
        design,
        np.asarray(cv2.GaussianBlur(bars.astype(np.float32), (0, 0), 0.8) - 0.4),
        design.choice([-1, 1]) * design.uniform(50, 140),
    )


def pebbled(design: Generator, piece: Generator) -> Float:
    """Leather, castings, stone: bumps of one size, lit from a side."""
    cells = int(design.uniform(16, 70))
    height = noise((SIDE, SIDE), piece, cells) + 0.5 * noise((SIDE, SIDE), piece, 2 * cells)
    lit = np.asarray(cv2.Sobel(height, cv2.CV_32F, 1, 1, ksize=3), np.float32)
    return _tinted(design, lit / max(float(np.abs(lit).max()), 1e-6), design.uniform(20, 90))


def veined(design: Generator, piece: Generator) -> Float:
    """Wood and marble: bands that wander."""
    u, v = _bent(piece, 0)
    bend = design.uniform(10, 60) * noise((SIDE, SIDE), piece, int(design.uniform(2, 5)))
    field = np.sin((v * design.uniform(0.05, 0.5) + bend) * 0.6 + 0.1 * u * design.uniform(0, 0.2))
    fine = piece.normal(0, 0.25, (SIDE, SIDE))
    return _tinted(design, np.asarray(field + fine, np.float32), design.uniform(8, 30))


def printed(design: Generator, piece: Generator) -> Float:
    """A circuit board's tracks: straight lines on a plain ground, always at the same place."""
    canvas = np.full((SIDE, SIDE, 3), _base(design, 20, 120), np.float32)
    tone = tuple(float(c) for c in _base(design, 90, 230))
    for _ in range(int(design.integers(8, 30))):
        points = [design.uniform(0, SIDE, 2)]
        for _ in range(int(design.integers(1, 4))):
            step = np.zeros(2)
            step[int(design.integers(2))] = design.normal(0, 90)
            points.append(points[-1] + step)
        cv2.polylines(
            canvas, [np.asarray(points, np.int32)], False, tone, int(design.integers(1, 7)), cv2.LINE_AA
        )
    return np.asarray(canvas + piece.normal(0, 2, 3), np.float32)


SURFACES: dict[str, Callable[[Generator, Generator], Float]] = {
    f.__name__: f for f in (printed, woven, brushed, pebbled, plain, mesh, veined)
}

MOUNTED = {"printed", "brushed", "plain", "pebbled"}
"""Surfaces of pieces that have parts and an outline; the others fill the picture."""
