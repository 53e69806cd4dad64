"""Images with a generated defect, that training may learn from beside real labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.labels.labelled import WeakLabel


@dataclass(frozen=True)
class GeneratedImage:
    """A reference with a generated defect. It is never a reference itself, nor held out, nor somebody's label.

    What it is painted on, and the labels that it was generated from, must be no images that a training is measured on.

    Attributes:
        name: identifies the image and its label: another image, or another label, has another name.
        load: reads the image, (H, W, 3) uint8 RGB.
        label: what is known of the defect: that it is somewhere in its box (:func:`boxed`), or its mask.
        type: of the defect; one that is labelled in a real image too.
        host: place of the reference that it was painted on among those of the product, which it is not compared with;
            None when that is a reference no more.
        product: which references it is compared with.
    """

    name: str
    load: Callable[[], NDArray[np.uint8]]
    label: Callable[[], WeakLabel]
    type: str
    host: int | None
    product: str = ""


def boxed(inside: NDArray[np.bool_]) -> WeakLabel:
    """The label of a defect that is somewhere ``inside`` (H, W), with nothing known of where (AnoGen, section 3.3)."""
    return WeakLabel("box", inside.astype(np.float32), np.zeros(inside.shape, bool))
