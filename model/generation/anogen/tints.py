"""The tints of a type of defect: in which directions of colour its examples differ from what surrounds them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from model.generation.anogen.fill import filled
from model.generation.anogen.window import Box

FAINT = 0.05
"""Of the strongest direction's variance: a direction of this variance is halved, one of less nearly lost."""


def tints(windows: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The filter of colours that leaves what the examples have, and takes what they have not.

    A defect that is darker than its surroundings differs from them along grey, a stain along its own colour. What a
    network paints beside these directions is a fault of the network. As Wiener's filter does it, every direction is
    kept by its share of the variance.

    Args:
        windows: round the defects, each (S, S, 4) uint8: the colours, and above 127 where the defect is; S a power of
            two.

    Returns:
        (3, 3) float32, symmetric; multiplied with colours (..., 3) from the right. The identity where no example
        differs from what surrounds it.
    """
    moments = np.zeros((3, 3))
    for window in windows:
        defect = window[..., 3] > 127
        if not defect.any():
            continue
        colours = window[..., :3].transpose(2, 0, 1).astype(np.float32)
        inside = Box.of(defect).mask(defect.shape)[None].astype(np.float32)
        if inside.all():
            continue
        differing = (colours - filled(colours, inside))[:, defect].astype(np.float64)
        moments += differing @ differing.T / differing.shape[1]
    variances, directions = np.linalg.eigh(moments)
    if variances[-1] <= 0:
        return np.eye(3, dtype=np.float32)
    kept = np.clip(variances, 0, None) / (np.clip(variances, 0, None) + FAINT * variances[-1])
    return np.asarray((directions * kept) @ directions.T, np.float32)
