"""Channels brought to mean 0 and deviation 1: levels of several networks have very different scales."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

LEAST = 1e-3
"""Smallest deviation that is divided by."""


class ChannelStatistics(nn.Module):
    """Mean and deviation of each channel over training images, kept as buffers; at first 0 and 1.

    Args:
        channels: how many.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """Standardise maps (B, C, h, w)."""
        return (maps - self.mean[:, None, None]) / self.deviation[:, None, None]

    @torch.no_grad()
    def fit(self, images: Iterable[Tensor]) -> None:
        """Take the statistics of all places of maps (B, C, h, w), at least one; each image counts the same."""
        count, total, squares = 0, torch.zeros_like(self.mean), torch.zeros_like(self.mean)
        for maps in images:
            found = maps.to(self.mean.device, torch.float32)
            count += len(found)
            total += found.mean((2, 3)).sum(0)
            squares += found.square().mean((2, 3)).sum(0)
        self.mean.copy_(total / count)
        self.deviation.copy_((squares / count - self.mean.square()).clamp_min(0).sqrt().clamp_min(LEAST))
