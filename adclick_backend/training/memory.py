"""When memory runs out while training."""

from __future__ import annotations


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the processor or on a graphics card."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text
