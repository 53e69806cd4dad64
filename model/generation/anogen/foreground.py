"""Where the product is in its images, by what differs from the colours at their borders; a surface is everywhere.

The colours of an image's border are a few clusters. How far every pixel is from them is parted in two by Otsu's
threshold (1979). Of a single image that says little: a road with a line on it would be an object. What is in the middle
of all good images, and not at their borders, is: the mean of their distances decides whether there is an object at all,
and where it lies in an image whose own border is too lively.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.generation.anogen.window import Floats, Image

GRID = 128
"""Places along each side of an image, whatever its shape."""

BORDER = 5
"""Of them, that are the border."""

LOOKED_AT = 12
"""Good images that decide."""

COLOURS = 4
"""Clusters of the border's colours; those with less than `RARE` of its pixels are no background."""

RARE = 0.1

NOISE = 2.0
"""Distance of two colours that is nothing, in units of CIELAB."""

FAR = 4.0
"""Distances count up to so many times those of the border itself."""

OWN, COMMON = 3.0, 2.0
"""How many times as far as the border's own colours those of an object are: in one image, in the mean of several."""

LEAVING = 0.1
"""Share of the border that an object covers, at most."""

LIGHTNESS = 0.6
"""Weight of the lightness: a shadow is not the product."""


@dataclass(frozen=True)
class Foreground:
    """Where a product is.

    Attributes:
        common: (`GRID`, `GRID`) bool, where it mostly is; None of a surface, which fills its images.
    """

    common: NDArray[np.bool_] | None

    @classmethod
    def of(cls, good: Sequence[Image]) -> Foreground:
        """Learn from good images of a product, (H, W, 3) uint8 RGB each."""
        if not len(good):
            return cls(None)
        chosen = sorted({round(place) for place in np.linspace(0, len(good) - 1, LOOKED_AT)})
        mean = np.mean([np.minimum(_distances(good[place]), FAR) for place in chosen], axis=0)
        return cls(_object(mean.astype(np.float32), COMMON))

    def find(self, image: Image) -> NDArray[np.bool_]:
        """Where the product is in an image (H, W, 3), as (`GRID`, `GRID`) bool over the whole image; never empty."""
        if self.common is None:
            return np.ones((GRID, GRID), bool)
        own = _object(_distances(image), OWN)
        return self.common if own is None else own


def _distances(image: Image) -> Floats:
    """How far each place's colour is from those of the border, in times that the border's own are; (GRID, GRID)."""
    small = cv2.resize(image, (GRID, GRID), interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(small.astype(np.float32) / 255, (0, 0), 1.0)
    colours = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB) * np.array([LIGHTNESS, 1, 1], np.float32)
    border = colours[_border()]
    first = np.argsort(np.argsort(border[:, 0], kind="stable")) * COLOURS // len(border)
    _, labels, centres = cv2.kmeans(
        border,
        COLOURS,
        first.astype(np.int32)[:, None],
        (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 20, 0.5),
        1,
        cv2.KMEANS_USE_INITIAL_LABELS,
    )
    share = np.bincount(labels.ravel(), minlength=COLOURS) / len(border)
    frequent = centres[share >= RARE]
    far = np.sqrt(np.square(colours[:, :, None] - frequent).sum(-1).min(-1))
    return np.asarray(far / max(float(np.percentile(far[_border()], 85)), NOISE), np.float32)


def _object(distances: Floats, needed: float) -> NDArray[np.bool_] | None:
    """The places of an object, closed and without holes; None where there is none."""
    high = float(np.percentile(distances, 99))
    if high <= 0:
        return None
    levels = np.rint(np.minimum(distances / high, 1) * 255).astype(np.uint8)
    threshold, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    found = levels > threshold
    border = _border()
    itself = max(float(np.percentile(distances[border], 85)), 1e-6)
    if not found.any() or np.median(distances[found]) < needed * itself or found[border].mean() > LEAVING:
        return None
    whole = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    whole = cv2.morphologyEx(whole, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    outlines, _ = cv2.findContours(whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    largest = max(cv2.contourArea(outline) for outline in outlines)
    kept = [outline for outline in outlines if cv2.contourArea(outline) >= largest / 10]
    filled = np.zeros((GRID, GRID), np.uint8)
    cv2.drawContours(filled, kept, -1, 1, cv2.FILLED)
    return np.asarray(filled > 0)


def _border() -> NDArray[np.bool_]:
    border = np.ones((GRID, GRID), bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    return border
