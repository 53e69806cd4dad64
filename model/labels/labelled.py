"""What a person has said about an image: defect types, and how surely each pixel is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["mask", "clicked", "box", "tag"]

SHAPED: frozenset[Kind] = frozenset(("mask", "clicked"))
"""Kinds of labels that show where a defect ends."""


@dataclass(frozen=True)
class WeakLabel:
    """What is known of one defect type in one image, in image pixels (H, W).

    Attributes:
        kind: how it came about, which says how it is learned from:

            * ``mask``: painted by a person, pixel by pixel.
            * ``clicked``: a mask of ADClick that a person accepted.
            * ``box``: the defect is somewhere inside.
            * ``tag``: the defect is somewhere in the image.
        target: (H, W) float32 in [0, 1]. P' of Eq. 8 for ``clicked``; 0 or 1 otherwise: inside a box, and
            everywhere for a tag, it is 1.
        certain: (H, W) bool, the pixels whose target a person set by hand. They are learned as they are: outside the
            abandon band of Eq. 9, and as defects even inside a box.
    """

    kind: Kind
    target: NDArray[np.float32]
    certain: NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledImage:
    """An image that training may learn from.

    Attributes:
        name: SHA-256 of the file.
        load: reads the image, (H, W, 3) uint8 RGB.
        labels: defect type -> label; empty when the image is free of defects.
        product: which references it is compared with; "" when products are not told apart.
    """

    name: str
    load: Callable[[], NDArray[np.uint8]]
    labels: Mapping[str, WeakLabel]
    product: str = ""

    @property
    def has_mask(self) -> bool:
        """Whether a label shows where a defect ends."""
        return any(label.kind in SHAPED for label in self.labels.values())


DEFECT = "defect"
"""The type of a defect of which nothing else is known."""


def painted(mask: NDArray[np.bool_]) -> WeakLabel:
    """The label of a mask (H, W) that is known to be right everywhere."""
    return WeakLabel("mask", mask.astype(np.float32), np.ones(mask.shape, bool))
