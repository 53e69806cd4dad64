"""The types of a project on one scale, before their maximum is taken (Eq. 7)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

QUANTILE = 0.999
"""Share of the pixels of normal images that must stay below every type's threshold."""


def offsets(normals: Iterable[list[NDArray[np.float32]]], types: int) -> list[float]:
    """What is subtracted from the logits of each type.

    A type that is brighter than the others on normal images would win the maximum everywhere, so all types are brought
    to the level of the brightest; and if that one calls more than a thousandth of the pixels of normal images a defect,
    all are lowered until it does not. Types that stay dark on normal images keep their threshold.

    Args:
        normals: for each normal image, the logits (H, W) of each type.
        types: how many there are.

    Returns:
        One number for each type; zeros when there is no normal image.
    """
    levels = [[float(np.quantile(logits, QUANTILE)) for logits in image] for image in normals]
    if not levels:
        return [0.0] * types
    usual = np.mean(levels, axis=0)
    return [float(level - min(0.0, usual.max())) for level in usual]
