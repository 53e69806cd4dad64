"""16-bit images as cameras of 12 or 14 bits write them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tests.helpers.backend import HEIGHT, WIDTH, Backend


def draw_deep(
    backend: Backend, name: str, grey: int, square: int | None = None, at: tuple[int, int] = (20, 16)
) -> str:
    """A grey 16-bit PNG, with a square of another grey at x, y; its task URL."""
    pixels = np.full((HEIGHT, WIDTH), grey, np.uint16)
    if square is not None:
        x, y = at
        pixels[y - 4 : y + 4, x - 4 : x + 4] = square
    write_deep(backend.images / name, pixels)
    return f"/data/local-files/?d={name}"


def write_deep(path: Path, pixels: np.ndarray) -> None:  # type: ignore[type-arg]
    """Write a 16-bit PNG or TIFF."""
    assert cv2.imwrite(str(path), pixels)
