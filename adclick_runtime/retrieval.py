"""Which references an image is compared with: those whose blocks look most alike (CPR's global retrieval)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.features import BLOCKS

KEPT_SHARE = 0.8
"""Of the blocks: the least alike fifth may be the defect."""


def retrieve(query: NDArray[np.float32], bank: NDArray[np.float32], count: int) -> list[int]:
    """Numbers of the references most similar to an image, the most similar first.

    Args:
        query: (D,), :attr:`adclick_runtime.features.Features.descriptor` of the image.
        bank: (N, D), of the references.
        count: how many to return, at most.
    """
    blocks = BLOCKS**2
    distances = np.square(bank - query).reshape(len(bank), blocks, -1).sum(2)
    kept = np.sort(distances, 1)[:, : int(KEPT_SHARE * blocks)].mean(1)
    return [int(i) for i in np.argsort(kept, kind="stable")[:count]]
