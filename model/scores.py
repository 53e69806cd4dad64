"""What a map says of the mask that is cut from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def expected_iou(probability: NDArray[np.float32], threshold: float = 0.5) -> float:
    """The IoU that a mask cut at ``threshold`` has if the probabilities are right, in [0, 1].

    The expected intersection over the expected union; 0 for an empty mask.
    """
    inside = probability > threshold
    agreed = float(probability[inside].sum())
    union = float(inside.sum()) + float(probability[~inside].sum())
    return agreed / union if inside.any() else 0.0
