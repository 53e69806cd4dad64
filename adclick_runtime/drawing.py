"""Masks and scores drawn over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.regions import Region

Pixels = NDArray[np.uint8]

COLOURS: Sequence[tuple[int, int, int]] = (
    (230, 57, 70),
    (29, 120, 200),
    (244, 162, 97),
    (106, 76, 168),
    (42, 157, 92),
    (214, 51, 132),
    (0, 150, 160),
    (150, 110, 40),
)
"""RGB, of defect types in the order of their names; after the last one they begin again."""

_FILL = 0.35  # how much of a mask hides the image
_PAPER, _LARGE = (255, 255, 255), 600  # round the outline, in pictures of at least so many pixels
_SMALLEST_LETTERS = 12  # pixels


def with_masks(pixels: Pixels, masks: Mapping[str, NDArray[np.bool_]], colours: Mapping[str, int]) -> Pixels:
    """An image with the masks of defect types filled and outlined.

    Args:
        pixels: (h, w, 3) RGB.
        masks: type -> (H, W) bool of the whole image, at any size.
        colours: type -> place in `COLOURS`.
    """
    drawn = pixels.copy()
    size = pixels.shape[1], pixels.shape[0]
    thickness = max(1, round(max(size) / 500))
    for name, mask in masks.items():
        # A part that is thinner than a pixel of the small picture is still seen in it.
        small = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        inside = small >= min(0.5, float(small.max()) / 2) if small.any() else small > 0
        colour = COLOURS[colours.get(name, 0) % len(COLOURS)]
        drawn[inside] = ((1 - _FILL) * drawn[inside] + _FILL * np.array(colour)).astype(np.uint8)
        strokes = [(_PAPER, thickness + 2), (colour, thickness)]
        # In a small picture the paper would hide what it surrounds.
        outline(drawn, inside, *(strokes if max(size) >= _LARGE else strokes[1:]))
    return drawn


def outline(pixels: Pixels, mask: NDArray[np.bool_], *strokes: tuple[tuple[int, int, int], int]) -> None:
    """Draw the outline of a mask (h, w) into an image (h, w, 3), once in each colour and thickness, the last on top."""
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for colour, thickness in strokes:
        cv2.drawContours(pixels, lines, -1, colour, thickness)


def with_scores(pixels: Pixels, regions: Sequence[Region], colours: Mapping[str, int]) -> Pixels:
    """An image (H, W, 3) RGB with the masks of regions of the same size, and beside each its type and its score."""
    masks: dict[str, NDArray[np.bool_]] = {}
    for region in regions:
        masks[region.type] = masks.get(region.type, np.zeros_like(region.mask)) | region.mask
    drawn = with_masks(pixels, masks, colours)
    letters = max(_SMALLEST_LETTERS, round(max(pixels.shape[:2]) / 50))
    font = cv2.FontFace("sans")
    for region in regions:
        x, y, _, height = cv2.boundingRect(region.mask.view(np.uint8))
        words = f"{region.type} {region.score:.2f}"
        _, top, wide, high = cv2.getTextSize((0, 0), words, (0, 0), font, letters)
        x = max(0, min(x, pixels.shape[1] - wide))
        y = y - letters // 3 if y > 2 * letters else min(y + height + letters, pixels.shape[0] - 2)
        cv2.rectangle(drawn, (x, y + top - 2), (x + wide, y + top + high + 2), _PAPER, cv2.FILLED)
        cv2.putText(drawn, words, (x, y), COLOURS[colours.get(region.type, 0) % len(COLOURS)], font, letters)
    return drawn
