"""What can be wrong with a product.

Each defect changes a surface in place and returns where: H x W in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from drawing.surface import Map, Surface, blur, grid, smooth_noise, step

Point = tuple[float, float]  # x, y in pixels of the canvas
Colour = tuple[float, float, float]
Defect = Callable[[Surface, np.random.Generator, float], Map]

LIQUIDS = (
    (0.55, 0.36, 0.16),
    (0.30, 0.27, 0.22),
    (0.42, 0.47, 0.62),
)  # rust, oil, cleaner: what light is left


def _place(surface: Surface, rng: np.random.Generator, margin: float) -> Point:
    """A random pixel of the part, at least ``margin`` pixels from its edges and inside every photograph."""
    side = surface.part.shape[0]
    solid = (surface.part > 0.5).astype(np.uint8)
    frame = int(0.17 * side)
    solid[:frame], solid[-frame:], solid[:, :frame], solid[:, -frame:] = 0, 0, 0, 0
    inside = cv2.distanceTransform(solid, cv2.DIST_L2, 5)
    rows, columns = np.nonzero(inside > min(margin, 0.9 * float(inside.max())))
    pick = int(rng.integers(len(rows)))
    return float(columns[pick]), float(rows[pick])


def _walk(rng: np.random.Generator, start: Point, length: float, bend: float, jag: float) -> Map:
    """A line that wanders: N x 2 points (x, y), a pixel apart. ``bend`` turns slowly, ``jag`` suddenly."""
    count = max(8, int(length))
    heading = np.cumsum(rng.normal(0, bend) + rng.normal(0, bend, count)) + rng.uniform(0, 2 * np.pi)
    heading += np.repeat(rng.normal(0, jag, count // 6 + 1), 6)[:count]
    steps = np.stack([np.cos(heading), np.sin(heading)], axis=1)
    path = np.cumsum(steps, axis=0)
    return (path - path[count // 2] + np.array(start)).astype(np.float32)


def _stroke(side: int, path: Map, width: Map | float) -> Map:
    """Draw a line of varying width: H x W in [0, 1], antialiased."""
    plane = np.zeros((side, side), np.uint8)
    widths = np.broadcast_to(np.asarray(width, np.float32), (len(path),))
    for point, radius in zip(path, widths / 2, strict=True):
        centre = [round(float(value) * 16) for value in point]
        cv2.circle(plane, centre, round(max(float(radius), 0.45) * 16), 255, -1, cv2.LINE_AA, 4)
    return plane.astype(np.float32) / 255


def _blob(rng: np.random.Generator, side: int, centre: Point, radius: float, ragged: float) -> Map:
    """Signed distance (negative inside) of an irregular spot about ``radius`` pixels wide."""
    x, y = grid(side)
    x, y = x + (side - 1) / 2 - centre[0], y + (side - 1) / 2 - centre[1]
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(0.65, 1.0)
    along, across = x * np.cos(turn) + y * np.sin(turn), (y * np.cos(turn) - x * np.sin(turn)) / stretch
    edge = ragged * radius * smooth_noise(rng, side, 0.9 * radius, octaves=3)
    return np.hypot(along, across) - radius + edge


def _paint(surface: Surface, cover: Map, colour: Colour | Map, strength: float, shine: float = 0.4) -> None:
    alpha = np.clip(strength * cover, 0, 1)
    mixed = surface.colour * (1 - alpha[..., None]) + np.asarray(colour, np.float32) * alpha[..., None]
    surface.colour = mixed.astype(np.float32)
    surface.shine = (surface.shine * (1 - alpha) + shine * alpha).astype(np.float32)


def scratch(surface: Surface, rng: np.random.Generator, unit: float) -> Map:
    """A burr dragged over the surface: a thin furrow with raised edges and bare, bright material in it."""
    side = surface.height.shape[0]
    path = _walk(rng, _place(surface, rng, 0.05 * unit), rng.uniform(0.14, 0.30) * unit, 0.004, 0.03)
    fade = np.sin(np.linspace(0.12, np.pi - 0.12, len(path))) ** 0.5
    cover = _stroke(side, path, fade * rng.uniform(0.006, 0.010) * unit) * surface.part
    surface.height -= 1.6 * cover - 0.7 * np.clip(blur(cover, 2.0) - 0.5 * cover, 0, 1)
    _paint(surface, cover, surface.colour * rng.choice([0.45, 2.2]) + 0.03, 0.75, shine=1.0)
    return cover


def dent(surface: Surface, rng: np.random.Generator, unit: float) -> Map:
    """A blow: a smooth hollow with a slightly raised lip; only the shading shows it."""
    side = surface.height.shape[0]
    radius = rng.uniform(0.030, 0.052) * unit
    distance = _blob(rng, side, _place(surface, rng, 1.1 * radius), radius, 0.05)
    hollow = np.clip(-distance / radius, 0, 1)
    depth = 0.20 * radius * (1 - (1 - hollow) ** 2) ** 1.2
    lip = np.exp(-((distance / (0.16 * radius)) ** 2)) * 0.05 * radius
    surface.height += ((lip - depth * 2.2) * surface.part).astype(np.float32)
    _paint(surface, step(distance, 4.0), surface.colour * 0.86, 0.6, shine=1.0)
    return step(distance) * surface.part


def stain(surface: Surface, rng: np.random.Generator, unit: float) -> Map:
    """Dried liquid: an irregular tint, stronger along its edge."""
    side = surface.height.shape[0]
    radius = rng.uniform(0.035, 0.085) * unit
    distance = _blob(rng, side, _place(surface, rng, radius), radius, 0.16)
    cover = step(distance, 3.0) * surface.part
    edge = np.exp(-(((distance + 3) / 4.0) ** 2)) * cover
    tint = np.array(LIQUIDS[int(rng.integers(len(LIQUIDS)))], np.float32)
    fade = np.clip(0.62 + 0.10 * smooth_noise(rng, side, radius), 0.35, 0.85)
    _paint(surface, cover * fade + 0.15 * edge, surface.colour * tint, 1.0)
    surface.height -= 0.5 * cover * (surface.height - blur(surface.height, 2.0))  # the film fills the texture
    return step(distance) * surface.part


def crack(surface: Surface, rng: np.random.Generator, unit: float) -> Map:
    """A jagged split that starts somewhere and may fork."""
    side = surface.height.shape[0]
    path = _walk(rng, _place(surface, rng, 0.06 * unit), rng.uniform(0.16, 0.28) * unit, 0.010, 0.42)
    taper = np.linspace(1.0, 0.35, len(path))
    cover = _stroke(side, path, taper * rng.uniform(0.007, 0.011) * unit)
    if rng.random() < 0.6:
        fork = path[len(path) // 2]
        branch = _walk(rng, (float(fork[0]), float(fork[1])), 0.09 * unit, 0.01, 0.42)[int(0.045 * unit) :]
        cover = np.maximum(cover, _stroke(side, branch, 0.005 * unit))
    cover = cover * surface.part
    surface.height -= 4.0 * blur(cover, 0.6)
    _paint(surface, cover, surface.colour * 0.12, 0.95)
    return cover


def tear(surface: Surface, rng: np.random.Generator, unit: float) -> Map:
    """A cut in cloth: a narrow opening that one sees through, with frayed edges."""
    side = surface.height.shape[0]
    path = _walk(rng, _place(surface, rng, 0.1 * unit), rng.uniform(0.16, 0.30) * unit, 0.006, 0.10)
    gape = np.sin(np.linspace(0.05, np.pi - 0.05, len(path))) ** 0.7 * rng.uniform(0.014, 0.026) * unit
    fray = _stroke(side, path, gape + 4.0)
    opening = _stroke(side, path, gape)
    for spot in rng.choice(path, size=max(2, int(len(path) / 14))):  # threads that still hang across it
        thread = _walk(rng, (float(spot[0]), float(spot[1])), rng.uniform(0.02, 0.05) * unit, 0.03, 0.05)
        opening *= 1 - _stroke(side, thread, 1.6)
    surface.part = surface.part * (1 - opening)
    _paint(surface, fray, surface.colour * 1.18, 0.6)
    surface.height += 1.8 * fray * blur(smooth_noise(rng, side, 1.6), 0.6)
    return np.maximum(fray, opening)


def missing(surface: Surface, rng: np.random.Generator, unit: float) -> Map:
    """A piece is gone: broken off at the edge, or, where there is no edge, a hole."""
    side = surface.height.shape[0]
    solid = (surface.part > 0.5).astype(np.uint8)
    contours, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)[:, 0, :]
    if solid.all():
        centre, radius = _place(surface, rng, 0.08 * unit), rng.uniform(0.028, 0.05) * unit
    else:
        spot = outline[int(rng.integers(len(outline)))]
        centre, radius = (float(spot[0]), float(spot[1])), rng.uniform(0.045, 0.085) * unit
    distance = _blob(rng, side, centre, radius, 0.10)
    gone = step(distance) * surface.part
    broken = np.exp(-((distance / 3.0) ** 2)) * surface.part  # the fresh edge
    surface.height -= 2.5 * broken * (1 + 0.5 * smooth_noise(rng, side, 3.0))
    _paint(surface, np.clip(broken, 0, 1), surface.colour * 1.25, 0.5)
    surface.part = surface.part * (1 - step(distance))
    return gone


def contamination(surface: Surface, rng: np.random.Generator, unit: float) -> Map:
    """Something that does not belong there: a fibre, a crumb or a drop of glue lying on the surface."""
    kind = (_fibre, _crumb, _drop)[int(rng.integers(3))]
    cover, rise, colour = kind(rng, surface.height.shape[0], _place(surface, rng, 0.06 * unit), unit)
    cover = cover * surface.part
    surface.height += (rise * surface.part).astype(np.float32)
    _paint(surface, cover, colour, 0.88)
    return cover


def _fibre(rng: np.random.Generator, side: int, place: Point, unit: float) -> tuple[Map, Map, Colour]:
    path = _walk(rng, place, rng.uniform(0.14, 0.24) * unit, 0.028, 0.05)
    cover = _stroke(side, path, rng.uniform(0.006, 0.009) * unit)
    return cover, 2.0 * blur(cover, 1.2), (0.42, 0.03, 0.03)


def _crumb(rng: np.random.Generator, side: int, place: Point, unit: float) -> tuple[Map, Map, Colour]:
    cover = step(_blob(rng, side, place, rng.uniform(0.018, 0.03) * unit, 0.25), 1.5)
    return cover, 4.0 * blur(cover, 1.2), (0.50, 0.34, 0.12)


def _drop(rng: np.random.Generator, side: int, place: Point, unit: float) -> tuple[Map, Map, Colour]:
    radius = rng.uniform(0.026, 0.045) * unit
    distance = _blob(rng, side, place, radius, 0.08)
    dome = 0.35 * radius * np.sqrt(np.clip(-distance / radius, 0, 1))
    return step(distance, 1.5), dome.astype(np.float32), (0.62, 0.58, 0.34)


DEFECTS: dict[str, Defect] = {
    "scratch": scratch,
    "dent": dent,
    "stain": stain,
    "crack": crack,
    "tear": tear,
    "missing": missing,
    "contamination": contamination,
}
