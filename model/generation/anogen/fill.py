"""The smooth continuation of what is round a box into the box: what a crop without any detail would look like there."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def filled(colours: NDArray[np.float32], inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """The colours with the inside of a box replaced by what surrounds it (push-pull, Gortler et al. 1996).

    Args:
        colours: (C, S, S) float32, S a power of two.
        inside: (1, S, S) in {0, 1}; not 1 everywhere, or what comes out is 0.

    Returns:
        (C, S, S) float32; outside of the box they are the colours.
    """
    known = np.ascontiguousarray(1 - inside[0], np.float32)
    return _pulled(np.ascontiguousarray(colours.transpose(1, 2, 0)) * known[..., None], known).transpose(
        2, 0, 1
    )


def _pulled(colours: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """(s, s, C), weighted by how far each place is known (s, s), made known everywhere."""
    side = known.shape[0]
    sure = np.asarray(colours / np.maximum(known, 1e-6)[..., None], np.float32)
    if side == 1:
        return sure if known[0, 0] > 0 else np.zeros_like(colours)
    half = (side // 2, side // 2)
    coarse = _pulled(
        np.asarray(cv2.resize(colours, half, interpolation=cv2.INTER_AREA), np.float32).reshape(*half, -1),
        np.asarray(cv2.resize(known, half, interpolation=cv2.INTER_AREA), np.float32).reshape(half),
    )
    below = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR).reshape(side, side, -1)
    share = np.minimum(known, 1)[..., None]
    return np.asarray(share * sure + (1 - share) * below, np.float32)
