"""Three products: a turned metal flange, a woven cloth and a moulded cap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from drawing.surface import Map, Surface, blur, grid, smooth_noise, step


@dataclass(frozen=True)
class Product:
    """How a product is drawn, how far it may turn under the camera, and what can be wrong with it."""

    draw: Callable[[np.random.Generator, int, float], Surface]
    turn: float  # degrees, either way
    defects: tuple[str, ...]


def draw_flange(rng: np.random.Generator, side: int, unit: float) -> Surface:
    """A flange turned on a lathe: tool marks, a groove, a bore, six countersunk holes, a stamped number."""
    x, y = grid(side)
    radius, theta = np.hypot(x, y), np.arctan2(y, x)
    outer, bore = 0.41 * unit, 0.115 * unit
    height = _turning_marks(rng, radius, unit)
    height -= 2.2 * step(np.abs(radius - 0.205 * unit) - 0.009 * unit, 2.5)  # groove
    height += 5.0 * step(radius - 0.172 * unit, 6.0)  # hub
    height -= 7.0 * step(outer - 0.016 * unit - radius, 9.0)  # chamfer
    part = step(radius - outer) * (1 - step(radius - bore))
    height -= 6.0 * step(radius - bore - 0.01 * unit, 6.0)
    for k in range(6):
        hole = np.hypot(x - 0.305 * unit * np.cos(k * np.pi / 3), y - 0.305 * unit * np.sin(k * np.pi / 3))
        part *= 1 - step(hole - 0.032 * unit)
        height -= 5.0 * step(hole - 0.043 * unit, 7.0)
    height -= 1.3 * _stamp(side, unit, "A7-204", (0.0, -0.255))
    tone = 0.20 + 0.010 * smooth_noise(rng, side, 0.4 * unit) + 0.006 * smooth_noise(rng, side, 2.5)
    colour = tone[..., None] * np.array([1.0, 1.01, 1.04], np.float32)
    grain = np.dstack([-np.sin(theta), np.cos(theta)]).astype(np.float32)
    return Surface(height, colour.astype(np.float32), part, 0.50, 11.0, grain=grain, thickness=16.0)


def _turning_marks(rng: np.random.Generator, radius: Map, unit: float) -> Map:
    rings = rng.standard_normal(int(unit)).astype(np.float32)
    fine, broad = np.convolve(rings, np.ones(2) / 2, "same"), np.convolve(rings, np.ones(23) / 23, "same")
    profile = (0.26 * fine + 1.1 * broad).astype(np.float32)
    return np.interp(radius, np.arange(len(profile)), profile).astype(np.float32)


def _stamp(side: int, unit: float, text: str, centre: tuple[float, float]) -> Map:
    """Engraved characters: H x W in [0, 1]; ``centre`` in units from the middle."""
    plane = np.zeros((side, side), np.uint8)
    font, scale, thick = cv2.FONT_HERSHEY_DUPLEX, unit / 760, max(1, round(unit / 300))
    (width, tall), _ = cv2.getTextSize(text, font, scale, thick)
    middle = (side - 1) / 2
    origin = (int(middle + centre[0] * unit - width / 2), int(middle + centre[1] * unit + tall / 2))
    cv2.putText(plane, text, origin, font, scale, 255, thick, cv2.LINE_AA)
    return blur(plane.astype(np.float32) / 255, 0.8)


def draw_cloth(rng: np.random.Generator, side: int, unit: float) -> Surface:
    """A 2/2 twill of undyed yarn: threads of uneven thickness, fibres, a little waviness."""
    x, y = grid(side)
    period = 0.0215 * unit
    u = (x + 0.10 * period * smooth_noise(rng, side, 0.35 * unit)) / period + 400.0
    v = (y + 0.10 * period * smooth_noise(rng, side, 0.35 * unit)) / period + 400.0
    warp, weft = np.floor(u), np.floor(v)
    phase = (warp - weft) % 4
    turn = np.where(phase < 2, 1.0, -1.0)  # +1: the warp thread lies on top
    ease = (u % 1 - 0.5) * (v % 1 - 0.5)
    warp_top = np.sqrt(np.clip(1 - (2 * (u % 1) - 1) ** 2, 0, 1)) * 0.55 + 0.40 * turn * (1 - np.abs(ease))
    weft_top = np.sqrt(np.clip(1 - (2 * (v % 1) - 1) ** 2, 0, 1)) * 0.55 - 0.40 * turn * (1 - np.abs(ease))
    on_top = warp_top > weft_top
    yarns = rng.normal(0, 1, (2, 1024))
    thread = np.where(on_top, yarns[0][warp.astype(int) % 1024], yarns[1][weft.astype(int) % 1024])
    fibre = np.where(on_top, _fibres(rng, side, 0.9, 5.0), _fibres(rng, side, 5.0, 0.9))
    height = blur((np.maximum(warp_top, weft_top) * 0.34 * period + 0.22 * fibre).astype(np.float32), 0.7)
    tone = 0.46 * (1 + 0.045 * thread + 0.06 * fibre + 0.02 * smooth_noise(rng, side, 0.5 * unit))
    tone *= np.where(on_top, 1.0, 0.90) * (0.72 + 0.28 * np.clip(np.maximum(warp_top, weft_top), 0, 1))
    colour = tone[..., None] * np.array([1.0, 0.93, 0.78])
    whole = np.ones((side, side), np.float32)
    return Surface(height, colour.astype(np.float32), whole, 0.02, 6.0, table=(0.018, 0.016, 0.015))


def _fibres(rng: np.random.Generator, side: int, sigma_x: float, sigma_y: float) -> Map:
    noise = rng.standard_normal((side, side)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), sigma_x, sigmaY=sigma_y)
    return (noise / noise.std()).astype(np.float32)


def draw_cap(rng: np.random.Generator, side: int, unit: float) -> Surface:
    """A moulded screw cap from above: ribbed edge, raised ring, embossed arrow and number, the gate mark."""
    x, y = grid(side)
    radius, theta = np.hypot(x, y), np.arctan2(y, x)
    ribs = np.cos(60 * theta)
    outer = 0.385 * unit + 0.0065 * unit * ribs
    height = 0.0022 * unit * 12 * np.sqrt(np.clip(1 - (radius / (0.42 * unit)) ** 2, 0, 1)).astype(np.float32)
    skirt = step(0.335 * unit - radius, 0.05 * unit)
    height = height - skirt * (0.045 * unit) + skirt * 0.011 * unit * ribs
    height += 3.2 * step(np.abs(radius - 0.285 * unit) - 0.011 * unit, 4.0)
    height += 1.6 * step(radius - 0.013 * unit, 4.0) - 2.2 * step(radius - 0.005 * unit, 2.0)  # gate
    height += 1.8 * _arrow(side, unit, theta, radius) + 1.6 * _stamp(side, unit, "38 PP 5", (0.0, 0.10))
    height += 0.09 * smooth_noise(rng, side, 2.2) + 0.5 * smooth_noise(rng, side, 0.3 * unit)
    tint = np.array([0.035, 0.13, 0.36]) * (1 + rng.normal(0, 0.03, 3))
    colour = np.ones((side, side, 1)) * tint * (1 + 0.02 * smooth_noise(rng, side, 0.2 * unit))[..., None]
    part = step(radius - outer)
    table = (0.30, 0.29, 0.27)
    return Surface(
        height.astype(np.float32), colour.astype(np.float32), part, 0.20, 26.0, table=table, thickness=26.0
    )


def _arrow(side: int, unit: float, theta: Map, radius: Map) -> Map:
    """A curved arrow that says which way to turn: H x W in [0, 1]."""
    bow = step(np.abs(radius - 0.20 * unit) - 0.010 * unit, 3.0) * (np.abs(theta + np.pi / 2) < 0.85)
    tip = np.float32(-np.pi / 2 + 0.85)
    along, across = (theta - tip) * radius, radius - 0.20 * unit
    length = 0.055 * unit
    head = (along > -1) & (np.abs(across) < 0.032 * unit * (1 - along / length))
    return blur(np.maximum(bow, head).astype(np.float32), 0.9)


PRODUCTS = {
    "flange": Product(draw_flange, 180.0, ("scratch", "dent", "stain", "missing", "contamination")),
    "cloth": Product(draw_cloth, 2.0, ("stain", "tear", "missing", "contamination")),
    "cap": Product(draw_cap, 180.0, ("scratch", "dent", "crack", "missing", "contamination")),
}
