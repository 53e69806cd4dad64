"""What a map says of the mask that is cut from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sigmoid(logits: NDArray[np.floating], bound: float = 30.0) -> NDArray[np.float32]:
    """Probabilities float32 in [0, 1] from logits of any shape; those beyond ``bound`` count as that."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -bound, bound))), np.float32)


def expected_iou(probability: NDArray[np.float32], inside: NDArray[np.bool_] | None = None) -> float:
    """The IoU that a mask has if the probabilities are right, in [0, 1].

    The expected intersection over the expected union; 0 for an empty mask.

    Args:
        probability: (H, W) in [0, 1].
        inside: the mask (H, W); default: where the probability is above 0.5.
    """
    if inside is None:
        inside = probability > 0.5
    agreed = float(probability[inside].sum())
    union = float(inside.sum()) + float(probability.sum()) - agreed
    return agreed / union if inside.any() else 0.0
