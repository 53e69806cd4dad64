"""The most memory that was held: of the GPU since it was last asked, on the processor of the whole program."""

from __future__ import annotations

import resource

import torch


def reset() -> None:
    """Begin anew, where that can be done."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def most(device: torch.device) -> str:
    """In words, with the unit."""
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of the GPU"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB of the program"
