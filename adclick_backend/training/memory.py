"""When memory runs out while training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

Crops = tuple[tuple[int, int, float], ...]
"""Side, number in a step, and share of the steps, of each size of crop that a trainer draws."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the processor or on a graphics card."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def halved(crops: Sequence[tuple[int, int, float]]) -> Crops:
    """The same with half as many crops in a step, at least one."""
    return tuple((side, max(count // 2, 1), share) for side, count, share in crops)


def train_within_memory(train: Callable[[], object], train_smaller: Callable[[], object]) -> None:
    """Train, and where memory runs out once more, with smaller batches.

    Args:
        train: the training as it is.
        train_smaller: the same with `halved` crops.

    Raises:
        Exception: whatever else goes wrong in the first, and anything in the second.
    """
    try:
        train()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        log.warning("Memory ran out (%s); trying once more with batches of half the size.", error)
        train_smaller()
