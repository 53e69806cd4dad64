"""Labelled images drawn by code: a dark disc on grey, its place and size from a number."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
from numpy.typing import NDArray

from model.labels.labelled import Kind, LabelledImage, WeakLabel

HEIGHT, WIDTH = 48, 64


def disc(number: int) -> NDArray[np.bool_]:
    """The mask of image `number`."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(mask, (16 + number % 5 * 8, 14 + number % 3 * 8), 6 + number % 4, 1, -1)
    return mask.astype(bool)


def pixels(number: int, *, defective: bool = True) -> NDArray[np.uint8]:
    image = np.random.default_rng(number).integers(110, 140, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    if defective:
        image[disc(number)] = 30
    return image


def labelled(number: int, label: str = "scratch", kind: Kind = "mask") -> LabelledImage:
    """An image with one labelled defect."""
    target = disc(number).astype(np.float32)
    known = {label: WeakLabel(kind, target, np.full(target.shape, kind == "mask"))}
    return LabelledImage(_name("defective", number), lambda: pixels(number), known)


def normal(number: int) -> LabelledImage:
    """An image free of defects."""
    return LabelledImage(_name("normal", number), lambda: pixels(number, defective=False), {})


def _name(kind: str, number: int) -> str:
    return hashlib.sha256(f"{kind} {number}".encode()).hexdigest()[:63] + str(number % 10)
