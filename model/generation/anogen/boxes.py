"""Boxes on good images: as large as a type's labelled defects are, and where defects of this type can be.

Half of the boxes lie near a labelled defect's place in its image: of a product that always lies alike, a bent lead is
drawn at a lead. The other half lies anywhere on the product, but as deep in it as a labelled defect: what was labelled
at the rim is drawn at the rim, however the product lies. On a surface that fills its images, only the latter counts:
what was labelled at an edge of the image is drawn at one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.generation.anogen.examples import Example, parts
from model.generation.anogen.foreground import GRID, Foreground
from model.generation.anogen.generator import GeneratorError
from model.generation.anogen.window import Box

INSIDE = 0.75
"""Share of a box that lies on the product, at least, or less where labelled defects reach as far over its rim."""

WHOLE = 0.8
"""Share of an image from which a defect has no surroundings to be painted in."""

ROOM = (1.0, 1.35)
"""Sides of a box, in those of a labelled defect: a box holds a defect with some room."""

SMALLEST = 4
"""Pixels of a box's side, at least."""

NEAR = 0.5
"""Share of the boxes that lie near a labelled defect's place."""

AROUND = 0.04
"""How near, as share of the image's sides: a standard deviation."""

DEEP = 0.4
"""Way from the rim, as share of the longest, from which one place is as deep as another."""

AS_DEEP = 0.3
"""Difference of two depths that are alike; 1 is deep."""

TRIES = 300
"""Boxes that are looked at before there is said to be no place; what they lie near counts for the first half only."""

ELONGATED = 1.5
"""Times that a defect is longer than it is wide, from which on it has a direction."""


@dataclass(frozen=True)
class Labelled:
    """A labelled defect, as boxes are drawn like it.

    Attributes:
        width: of its box, as share of the image's longer side.
        height: likewise.
        x: centre of its box, as share of the image's width.
        y: as share of its height.
        depth: see :func:`_depth`.
        held: share of its box that is on the product.
        share: how often it is followed; those of all defects make 1.
    """

    width: float
    height: float
    x: float
    y: float
    depth: float
    held: float
    share: float


@dataclass(frozen=True)
class Boxes:
    """Draws the boxes of a type.

    Attributes:
        defects: that were labelled, one at least.
        turned: whether half of the boxes are turned by 90 degrees: the labelled defects lie in no direction.
        surface: the product fills its images.
    """

    defects: tuple[Labelled, ...]
    turned: bool
    surface: bool

    @classmethod
    def of(cls, examples: Sequence[Example], foreground: Foreground) -> Boxes:
        """What the labels of a type say of its boxes; each image counts the same, in it the longer defects more.

        Raises:
            GeneratorError: no label has a defect with something round it.
        """
        defects: list[Labelled] = []
        angles: list[float] = []
        for example in examples:
            found = [part for part in parts(example.mask) if part.mean() < WHOLE]
            product = foreground.find(example.pixels) | _gridded(example.mask)  # what is missing was product
            boxes = [Box.of(part) for part in found]
            longer = [max(box.width, box.height) for box in boxes]
            defects += [
                _labelled(box, product, example.mask.shape, length / sum(longer))
                for box, length in zip(boxes, longer, strict=True)
            ]
            angles += [angle for part in found if (angle := _direction(part)) is not None]
        if not defects:
            raise GeneratorError(
                "No label of this type shows where the defect ends: the masks are empty, smaller than twelve "
                "pixels or fill the image. Label the defect alone, in one image at least."
            )
        return cls(tuple(defects), not _preferred(angles), foreground.common is None)

    def draw(
        self, product: NDArray[np.bool_], shape: tuple[int, int], rng: np.random.Generator
    ) -> Box | None:
        """A box in an image.

        Args:
            product: (`GRID`, `GRID`) bool, where it is in the image, see :meth:`Foreground.find`.
            shape: (H, W) of the image.
            rng: decides.

        Returns:
            A box inside of the image; None where `TRIES` of them lay too far over the rim of the product.
        """
        height, width = shape
        places = np.argwhere(product)
        depths, shares = _depth(product), [defect.share for defect in self.defects]
        for attempt in range(TRIES if len(places) else 0):
            defect = self.defects[int(rng.choice(len(shares), p=np.array(shares) / sum(shares)))]
            across, down = self._sides(defect, shape, rng)
            near = not self.surface and rng.random() < NEAR
            if near and attempt < TRIES // 2:
                x, y = np.array([defect.x, defect.y]) + rng.normal(0, AROUND, 2)
            else:
                row, column = places[int(rng.integers(len(places)))]
                x, y = (column + rng.random()) / GRID, (row + rng.random()) / GRID
            left = round(float(np.clip(x * width - across / 2, 0, width - across)))
            top = round(float(np.clip(y * height - down / 2, 0, height - down)))
            box = Box(left, top, left + across, top + down)
            if _mean(product, box, shape) < min(INSIDE, defect.held):
                continue
            if near or attempt >= TRIES // 2 or abs(_mean(depths, box, shape) - defect.depth) < AS_DEEP:
                return box
        return None

    def _sides(self, defect: Labelled, shape: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        """Width and height in pixels, of a box that leaves something of the image."""
        height, width = shape
        sides = np.array([defect.width, defect.height]) * max(shape) * rng.uniform(*ROOM, 2)
        if self.turned and rng.random() < 0.5:
            sides = sides[::-1]
        sides = np.minimum(np.maximum(np.rint(sides), SMALLEST), [width, height])
        too_much = np.sqrt(max(1.0, sides.prod() / (WHOLE * height * width)))
        across, down = np.maximum(sides / too_much, 1).astype(int)
        return int(across), int(down)


def _labelled(box: Box, product: NDArray[np.bool_], shape: tuple[int, ...], share: float) -> Labelled:
    height, width = shape
    return Labelled(
        box.width / max(shape),
        box.height / max(shape),
        (box.left + box.right) / 2 / width,
        (box.top + box.bottom) / 2 / height,
        _mean(_depth(product), box, (height, width)),
        _mean(product, box, (height, width)),
        share,
    )


def _gridded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask (H, W) as (GRID, GRID): the places that it covers half of."""
    return cv2.resize(mask.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA) > 0.5


def _depth(product: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(GRID, GRID): 0 outside of the product, 1 far from its rim and from the image's edges."""
    away = cv2.distanceTransform(np.pad(product.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    return np.asarray(np.minimum(away / max(float(away.max()) * DEEP, 1e-6), 1), np.float32)


def _mean(grid: NDArray[np.bool_] | NDArray[np.float32], box: Box, shape: tuple[int, int]) -> float:
    """The mean of a grid over an image of the shape (H, W), inside a box; of the places that it touches."""
    height, width = shape
    left, top = box.left * GRID // width, box.top * GRID // height
    right, bottom = -(-box.right * GRID // width), -(-box.bottom * GRID // height)
    return float(np.mean(grid[top:bottom, left:right]))


def _direction(part: NDArray[np.bool_]) -> float | None:
    """The angle of a defect's longer axis in radians, from its second moments; None of a roundish one."""
    rows, columns = np.nonzero(part)
    spread, axes = np.linalg.eigh(np.cov(np.stack([columns, rows]).astype(np.float64)) + np.eye(2) / 12)
    if spread[1] < ELONGATED**2 * spread[0]:
        return None
    return float(np.arctan2(axes[1, 1], axes[0, 1]))


def _preferred(angles: Sequence[float]) -> bool:
    """Whether axes lie in one direction, by Rayleigh's test on doubled angles (Mardia and Jupp 2000, 6.3.1)."""
    together = float(np.abs(np.mean(np.exp(2j * np.array(angles))))) if angles else 0.0
    return float(np.exp(-len(angles) * together**2)) < 0.1
