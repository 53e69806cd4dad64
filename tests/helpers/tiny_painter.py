"""A diffusion model of a few thousand random weights, which paints noise in no time, and drawn things to paint on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model.generation.anogen.checkpoint import write_painter
from model.generation.anogen.examples import Example
from model.generation.anogen.network import DenoiserConfig, Painter
from model.generation.anogen.small import SmallGenerator

SIZES = DenoiserConfig(widths=(8, 8), vector=8)


def tiny_painter(seed: int = 0) -> Painter:
    """Random weights, also in the layers that a training starts with zeros."""
    torch.manual_seed(seed)
    painter = Painter(SIZES)
    for weight in painter.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.05)
    return painter.eval()


def tiny_generator(folder: Path, seed: int = 0, steps: int = 2) -> SmallGenerator:
    """The preset small with such weights, read from a file in a folder."""
    weights = folder / f"tiny-{seed}.safetensors"
    if not weights.exists():
        write_painter(weights, tiny_painter(seed), "tiny", {})
    return SmallGenerator(weights, steps=steps)


def nut(seed: int, shape: tuple[int, int] = (120, 160)) -> NDArray[np.uint8]:
    """A brown disc of a quarter of the shorter side, somewhere on a dark table, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    height, width = shape
    radius = min(shape) // 4
    image = np.clip(rng.normal(40, 4, (height, width, 3)), 0, 255).astype(np.uint8)
    x, y = (
        int(rng.integers(radius + length // 10, length - radius - length // 10)) for length in (width, height)
    )
    cv2.circle(image, (x, y), radius, (150, 100, 60), -1)
    return image


def cloth(seed: int, shape: tuple[int, int] = (120, 160)) -> NDArray[np.uint8]:
    """A surface of noise, (H, W, 3) uint8."""
    return np.clip(np.random.default_rng(seed).normal(120, 20, (*shape, 3)), 0, 255).astype(np.uint8)


def spotted(image: NDArray[np.uint8], centre: tuple[int, int], axes: tuple[int, int] = (8, 5)) -> Example:
    """An image with a red spot, at a centre and with half axes (x, y) in pixels."""
    mask = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(mask, centre, axes, 0, 0, 360, 1, -1)
    pixels = image.copy()
    pixels[mask > 0] = (200, 30, 30)
    return Example(pixels, mask > 0)


def spot_on(seed: int) -> Example:
    """A nut with a spot in its middle."""
    image = nut(seed)
    rows, columns = np.nonzero(image[..., 0] > 100)
    return spotted(image, (round(columns.mean()), round(rows.mean())))
