"""How near every place of an image is to the clicks, whatever lies there."""

from __future__ import annotations

import torch
from torch import Tensor

from model.evidence.prepared import REACHES


def squared_distances(clicks: Tensor, height: int, width: int) -> Tensor:
    """(B, N, height, width): the squared distance of the middle of each cell from each click, padding included.

    Args:
        clicks: (B, N, 3) float32: x, y in cells of the grid (cell i covers [i, i + 1)), and +1, -1, or 0 for padding.
        height, width: of the grid.
    """
    y = torch.arange(height, device=clicks.device) + 0.5
    x = torch.arange(width, device=clicks.device) + 0.5
    dx = clicks[..., 0, None] - x  # (B, N, w)
    dy = clicks[..., 1, None] - y  # (B, N, h)
    return dy.square()[..., :, None] + dx.square()[..., None, :]


def nearness(clicks: Tensor, height: int, width: int) -> Tensor:
    """(B, 2 * len(REACHES), height, width) in [0, 1]: how near the nearest click is, positive ones first; else 0.

    See :func:`squared_distances` for the arguments.
    """
    squared = squared_distances(clicks, height, width)
    maps = []
    for sign in (1, -1):
        other = (clicks[..., 2] != sign)[..., None, None]
        nearest = squared.masked_fill(other, 1e9).amin(1, keepdim=True).sqrt()
        maps += [torch.exp(-nearest / reach) for reach in REACHES]
    return torch.cat(maps, 1)
