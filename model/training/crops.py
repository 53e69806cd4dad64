"""Training crops on the stride-16 grid: where they begin, and how what is smaller is padded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def start(centre: int, size: int, side: int, rng: np.random.Generator) -> int:
    """Where a crop begins: it holds ``centre`` at a random place, lies inside, and fits the stride-16 grid."""
    start = centre - int(rng.integers(size // 8, size - size // 8))
    return max(0, min(start, side - size)) // 8 * 8


def pad(values: NDArray[np.generic], size: int, fill: float = 0.0) -> NDArray[np.float32]:
    """Maps (C, h, w) in the corner of (C, size, size) float32, the rest ``fill``."""
    out = np.full((len(values), size, size), fill, np.float32)
    out[:, : values.shape[1], : values.shape[2]] = values
    return out
