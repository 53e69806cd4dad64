"""How good binary masks are: IoU, and the number of clicks to reach one (NoC)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_CLICKS = 20
"""NoC of an image that never reaches its target."""


def iou(prediction: NDArray[np.bool_], target: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks (H, W); 1 when both are empty."""
    union = int((prediction | target).sum())
    return int((prediction & target).sum()) / union if union else 1.0


def clicks_to(ious: Sequence[float], target: float, most: int = MOST_CLICKS) -> int:
    """NoC: the number of the first click whose IoU reaches ``target``; ``most`` when none of them does."""
    return next((i for i, value in enumerate(ious[:most], 1) if value >= target), most)
