"""Labelled defects as the diffusion model looks at them: windows of an image, and crops of a window with a box."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.generation.anogen.fill import filled
from model.generation.anogen.network import SIDE
from model.generation.anogen.window import Box, Window

STORED = 128
"""Pixels of a window: from it, crops of `SIDE` are cut."""

SURROUNDINGS = 2.8
"""Side of a window, in longer sides of its defect."""

SMALLEST = 12
"""Pixels of a defect that is worth a window."""

MOST = 6
"""Defects of an image that are looked at."""

FAINTEST = 32
"""Strength, of 255, from which a defect that became thin in a crop is still one."""

UNSEEN = Box(24, 24, 40, 40)
"""Where a defect was that is too thin to be seen in a crop."""


@dataclass(frozen=True)
class Example:
    """A labelled defect of a type.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, where it is.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def parts(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The defects of a mask (H, W), the largest first: what lies within two pixels is one; at most `MOST`."""
    count, labels = cv2.connectedComponents(cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)))
    found = sorted(((labels == n) & mask for n in range(1, count)), key=np.count_nonzero, reverse=True)
    return [part for part in found if np.count_nonzero(part) >= SMALLEST][:MOST]


def windows(example: Example, *, whole: bool = False) -> Iterator[NDArray[np.uint8]]:
    """The windows round the defects of an image.

    Args:
        example: the image.
        whole: its mask is one defect (a group of pits), not each of its parts.

    Yields:
        (`STORED`, `STORED`, 4) uint8: the colours, and 255 where this defect is.
    """
    shape = example.mask.shape[0], example.mask.shape[1]
    for part in [example.mask] if whole else parts(example.mask):
        if np.count_nonzero(part) < SMALLEST:
            continue
        window = Window.round(Box.of(part), shape, SURROUNDINGS)
        both = np.dstack([example.pixels, part.astype(np.uint8) * 255])
        yield window.picture(both, STORED)


def turned(window: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The window in one of its eight positions."""
    again = np.rot90(window, int(rng.integers(4)))
    return np.ascontiguousarray(again[:, ::-1] if rng.random() < 0.5 else again)


def cropped(window: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.float32], Box]:
    """A part of the window that holds the defect, and a box round the defect, with some room.

    Returns:
        (`SIDE`, `SIDE`, 4) float32 in [0, 255], and the box in its pixels.
    """
    defect = _box(window, Box(48, 48, 80, 80))
    longer = max(defect.width, defect.height)
    side = float(min(STORED, max(longer * rng.uniform(1.25, 2.6), 24)))
    centre = np.array([defect.left + defect.right, defect.top + defect.bottom]) / 2
    room = max(0.0, (side - longer) / 2)
    x, y = np.clip(centre - side / 2 + rng.uniform(-0.7, 0.7, 2) * room, 0, STORED - side)
    crop = Window(float(x), float(y), side).cut(window, SIDE)
    crop[..., 3] *= 255 / max(float(crop[..., 3].max()), FAINTEST)  # what is thin became faint
    found = _box(crop, UNSEEN)
    grow = rng.uniform(0, 0.3, 4) * max(found.width, found.height) + rng.integers(0, 4, 4)
    box = Box(
        max(0, round(found.left - grow[0])),
        max(0, round(found.top - grow[1])),
        min(SIDE, round(found.right + grow[2])),
        min(SIDE, round(found.bottom + grow[3])),
    )
    return crop, box


def _box(window: NDArray[np.uint8] | NDArray[np.float32], otherwise: Box) -> Box:
    defect = np.asarray(window[..., 3] > 127)
    return Box.of(defect) if defect.any() else otherwise


def signed(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    """(S, S, C) in [0, 255] -> (C, S, S) in [-1, 1]."""
    return np.ascontiguousarray(np.clip(crop / 127.5 - 1, -1, 1).transpose(2, 0, 1), np.float32)


def told(clean: NDArray[np.float32], box: Box) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the network is given of a crop (4, S, S): its colours, smoothly continued into a box, and the box.

    Returns:
        (4, S, S), and the inside of the box, (1, S, S), in {0, 1}.
    """
    inside = box.mask((SIDE, SIDE))[None].astype(np.float32)
    return np.concatenate([filled(clean[:3], inside), inside]), inside
