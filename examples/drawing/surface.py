"""A product's surface as maps of height and colour, and the camera that photographs it.

Products and defects change height and colour only; what the light makes of that (the shading of a dent, the
glint in a scratch) is computed here, so that a defect looks different in every pose and its true mask stays
known.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]  # H x W, or H x W x 3 for colours (linear RGB in [0, 1])


@dataclass
class Surface:
    """What a product is before it is photographed; every map is H x W in the product's own frame.

    Lengths are in pixels of the finished photograph.
    """

    height: Map
    colour: Map
    part: Map  # 1 where there is product, 0 where one looks past it at the table
    gloss: float  # strength of the highlight: 0 matt, 1 polished
    polish: float  # sharpness of the highlight (exponent)
    grain: Map | None = None  # H x W x 2 unit vectors along brushed lines; None for an isotropic finish
    table: tuple[float, float, float] = (0.05, 0.055, 0.06)
    thickness: float = 10.0  # height over the table, which decides how long the shadow is
    shine: Map = field(init=False)  # what is left of the gloss at each pixel

    def __post_init__(self) -> None:
        self.shine = np.ones_like(self.height)


def grid(side: int) -> tuple[Map, Map]:
    """x and y of every pixel of a square canvas, in pixels from its centre."""
    axis = np.arange(side, dtype=np.float32) - np.float32((side - 1) / 2)
    return np.meshgrid(axis, axis)  # type: ignore[return-value]


def smooth_noise(rng: np.random.Generator, side: int, cell: float, octaves: int = 1) -> Map:
    """Smooth random map, mean 0, standard deviation about 1, with features about ``cell`` pixels wide."""
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        nodes = max(4, int(np.ceil(side / cell * 2**octave)) + 3)
        coarse = rng.standard_normal((nodes, nodes)).astype(np.float32)
        total += cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC) / np.float32(2**octave)
    return total / max(float(total.std()), 1e-6)


def step(distance: Map, softness: float = 1.0) -> Map:
    """1 inside (negative distance), 0 outside, over an edge ``softness`` pixels wide."""
    return np.clip(0.5 - distance / softness, 0.0, 1.0).astype(np.float32)


def blur(values: Map, sigma: float) -> Map:
    """Gaussian blur with a standard deviation of ``sigma`` pixels."""
    return cv2.GaussianBlur(values, (0, 0), sigma).astype(np.float32)


@dataclass(frozen=True)
class Pose:
    """How a product lies under the camera, and the light of that moment."""

    angle: float  # degrees
    shift: tuple[float, float]  # pixels
    scale: float
    light: float  # direction the key light comes from, radians
    elevation: float  # of the key light over the table, radians
    exposure: float
    warmth: float  # white balance: > 0 is warmer


def random_pose(rng: np.random.Generator, size: int, *, turn: float) -> Pose:
    """A pose as a fixture or a conveyor leaves it: ``turn`` degrees of rotation at most, small shifts."""
    return Pose(
        angle=float(rng.uniform(-turn, turn)),
        shift=(float(rng.normal(0, 0.012 * size)), float(rng.normal(0, 0.012 * size))),
        scale=float(rng.uniform(0.975, 1.025)),
        light=float(np.deg2rad(225) + rng.normal(0, 0.12)),
        elevation=float(np.deg2rad(52) + rng.normal(0, 0.05)),
        exposure=float(rng.uniform(0.93, 1.07)),
        warmth=float(rng.normal(0, 0.012)),
    )


def photograph(
    surface: Surface, defect: Map, pose: Pose, size: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Photograph a surface.

    Args:
        surface: the product on its canvas, which must be larger than the photograph.
        defect: H x W in [0, 1] on the same canvas, 1 where the surface is defective.
        pose: where the product lies and how it is lit.
        size: side of the photograph in pixels.
        rng: sensor noise.

    Returns:
        image, ``size`` x ``size`` x 3 uint8 RGB, and the defect's true pixels, ``size`` x ``size`` bool.
    """
    side = surface.height.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), pose.angle, pose.scale)
    matrix[:, 2] += (size - side) / 2 + np.array(pose.shift)

    def seen(values: Map) -> Map:
        return cv2.warpAffine(values, matrix, (size, size), borderMode=cv2.BORDER_REFLECT).astype(np.float32)

    height, part, colour = seen(surface.height), seen(surface.part), seen(surface.colour)
    gloss = surface.gloss * seen(surface.shine)
    grain = None
    if surface.grain is not None:
        turn = np.deg2rad(-pose.angle)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], np.float32)
        grain = seen(surface.grain) @ rotation.T
    lit = _shade(height, colour, gloss, surface.polish, grain, pose)
    image = _table(surface, part, pose, size, rng) * (1 - part[..., None]) + lit * part[..., None]
    return _develop(image, pose, rng), seen(defect) > 0.5


def _shade(height: Map, colour: Map, gloss: Map, polish: float, grain: Map | None, pose: Pose) -> Map:
    dy, dx = np.gradient(height)
    normal = np.dstack([-dx, -dy, np.ones_like(dx)])
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    low = np.cos(pose.elevation)
    key = np.array([np.cos(pose.light) * low, np.sin(pose.light) * low, np.sin(pose.elevation)], np.float32)
    fill = np.array([-key[0], -key[1], key[2]], np.float32)
    half = key + np.array([0, 0, 1], np.float32)  # between the light and the camera
    half /= np.linalg.norm(half)
    diffuse = 0.80 * np.clip(normal @ key, 0, None) + 0.16 * np.clip(normal @ fill, 0, None) + 0.10
    if grain is None:
        shine = np.clip(normal @ half, 0, None) ** polish
    else:  # brushed metal shines across its lines, wherever they run
        slope = grain[..., 0] * dx + grain[..., 1] * dy
        along = grain[..., 0] * half[0] + grain[..., 1] * half[1] + slope * half[2]
        shine = np.clip(1 - along**2, 0, 1) ** polish * np.clip(normal[..., 2], 0, 1) ** 4
    # Pits are darker than their surroundings: less of the sky reaches them.
    pit = np.clip((blur(height, 4.0) - height) / 4.0, 0, 1)
    matt = colour * (diffuse * (1 - 0.45 * pit))[..., None]
    return (matt + (gloss * shine)[..., None]).astype(np.float32)


def _table(surface: Surface, part: Map, pose: Pose, size: int, rng: np.random.Generator) -> Map:
    length = surface.thickness / np.tan(pose.elevation)
    offset = np.float32([[1, 0, -np.cos(pose.light) * length], [0, 1, -np.sin(pose.light) * length]])
    cast = cv2.warpAffine(part, offset, (size, size), borderMode=cv2.BORDER_REPLICATE)
    shadow = 0.72 * blur(cast.astype(np.float32), 0.35 * length + 2) + 0.2 * blur(part, 3.0)
    rubber = 1 + 0.06 * smooth_noise(rng, size, 3.0) + 0.05 * smooth_noise(rng, size, size / 3)
    return np.asarray(surface.table, np.float32) * (rubber * (1 - np.clip(shadow, 0, 0.9)))[..., None]


def _develop(image: Map, pose: Pose, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Lens, sensor and tone curve: vignette, a little blur, shot and read noise, gamma."""
    size = image.shape[0]
    x, y = grid(size)
    vignette = 1 - 0.16 * (x**2 + y**2) / (size / 2) ** 2 / 2
    balance = np.array([1 + pose.warmth, 1, 1 - pose.warmth], np.float32)
    light = blur(image * (vignette * pose.exposure)[..., None] * balance, 0.55)
    noise = np.sqrt(np.clip(light, 0, None) * 1.2e-4 + 4e-6)
    light += rng.standard_normal(light.shape).astype(np.float32) * noise
    tone = 1 - np.exp(-1.6 * np.clip(light, 0, None))  # highlights roll off instead of clipping
    return (np.clip(tone / (1 - np.exp(-1.6)), 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)
