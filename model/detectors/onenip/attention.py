"""Attention between two grids of tokens, which may be forbidden to look next to themselves."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.detectors.onenip.config import OneNIPConfig


class Positions(nn.Module):
    """A learned code of each place: one of its row beside one of its column.

    Learned for ``config.grid`` rows and columns, and stretched for a grid of another size.
    """

    def __init__(self, config: OneNIPConfig):
        super().__init__()
        self.rows = nn.Parameter(torch.rand(config.grid, config.width // 2))
        self.columns = nn.Parameter(torch.rand(config.grid, config.width // 2))

    def forward(self, grid: tuple[int, int]) -> Tensor:
        """(1, h * w, width) for a grid (h, w)."""
        rows, columns = _stretched(self.rows, grid[0]), _stretched(self.columns, grid[1])
        both = torch.cat(
            [rows[:, None].expand(-1, grid[1], -1), columns[None].expand(grid[0], -1, -1)], -1
        )  # (h, w, width)
        return both.flatten(0, 1)[None]


def _stretched(codes: Tensor, length: int) -> Tensor:
    """Codes (N, D) at ``length`` places of the same axis."""
    if len(codes) == length:
        return codes
    return F.interpolate(codes.T[None], size=length, mode="linear", align_corners=False)[0].T


def neighbour_mask(grid: tuple[int, int], config: OneNIPConfig, device: torch.device) -> Tensor:
    """Which tokens of a grid a token may look at: (h * w, h * w) bool, False inside the square round itself.

    The square has ``config.neighbourhood`` tokens a side on a grid of ``config.grid``, and on another grid the same
    share of each axis (UniAD keeps 7 tokens at all sizes). Never so many that a token had nothing left to look at.
    """
    h, w = grid
    near = _near(h, config, device)[:, None, :, None] & _near(w, config, device)[None, :, None, :]
    return ~near.reshape(h * w, h * w)


def _near(length: int, config: OneNIPConfig, device: torch.device) -> Tensor:
    """Which places of an axis are near each other, (length, length) bool."""
    reach = min(round(config.neighbourhood // 2 * length / config.grid), (length - 2) // 2)
    places = torch.arange(length, device=device)
    return (places[:, None] - places[None]).abs() <= reach


class Attention(nn.Module):
    """Multi-head attention; positions are added to what is asked and to what answers, not to what is handed over."""

    def __init__(self, config: OneNIPConfig):
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, asking: Tensor, asked: Tensor, positions: Tensor, allowed: Tensor | None) -> Tensor:
        """What ``asking`` (B, T, width) is answered by ``asked`` (B, T, width).

        Args:
            asking: tokens.
            asked: tokens of a grid of the same size.
            positions: (1, T, width), of both.
            allowed: (T, T) bool: which token may look at which; None: at all.
        """
        query, key, value = (
            self._split(part)
            for part in (self.query(asking + positions), self.key(asked + positions), self.value(asked))
        )
        dropout = self.dropout if self.training else 0.0
        answer = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed, dropout_p=dropout)
        return self.out(answer.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, T, width) -> (B, heads, T, width / heads)."""
        return tokens.view(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two layers on each token by itself: (B, T, width) -> (B, T, width)."""

    def __init__(self, config: OneNIPConfig):
        super().__init__(
            nn.Linear(config.width, config.feed_forward),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.feed_forward, config.width),
        )
