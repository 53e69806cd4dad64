"""Swin Transformer blocks: attention inside windows that shift from block to block."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WindowAttention(nn.Module):
    """Multi-head attention among the tokens of a window, with a learned bias for each relative position."""

    relative: Tensor

    def __init__(self, width: int, heads: int, window: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        place = torch.stack(
            torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        ).flatten(1)
        offset = place[:, :, None] - place[:, None] + window - 1  # (2, n, n)
        self.register_buffer("relative", offset[0] * (2 * window - 1) + offset[1], persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(windows, n, width) -> the same; ``mask`` (windows, 1, n, n) is added to the logits."""
        windows, n, width = x.shape
        q, k, v = (
            self.qkv(x).view(windows, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        )  # (windows, heads, n, d)
        bias = self.bias[self.relative].permute(2, 0, 1)[None]  # (1, heads, n, n)
        bias = (bias if mask is None else bias + mask).to(q.dtype)  # autocast leaves parameters in float32
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.project(out.transpose(1, 2).reshape(windows, n, width))  # type: ignore[no-any-return]


class SwinBlock(nn.Module):
    """Pre-norm window attention and MLP on a grid of tokens; ``shift`` moves the windows by half their size."""

    def __init__(self, width: int, heads: int, window: int, shift: bool, ratio: int = 4):
        super().__init__()
        self.window, self.shift = window, window // 2 if shift else 0
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = WindowAttention(width, heads, window)
        self.mlp = nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, width) -> the same; H and W multiples of the window."""
        b, h, w, width = x.shape
        s, n = self.shift, self.window
        y = torch.roll(self.first(x), (-s, -s), (1, 2)) if s else self.first(x)
        y = self.attention(_to_windows(y, n), self._mask(b, h, w, x) if s else None)
        y = y.view(b, h // n, w // n, n, n, width).transpose(2, 3).reshape(b, h, w, width)
        x = x + (torch.roll(y, (s, s), (1, 2)) if s else y)
        return x + self.mlp(self.second(x))  # type: ignore[no-any-return]

    def _mask(self, b: int, h: int, w: int, like: Tensor) -> Tensor:
        """(windows, 1, n, n): -inf between tokens that only the roll brought into one window."""
        rows, columns = (self._region(side, like) for side in (h, w))
        region = _to_windows((rows[:, None] * 3 + columns)[None, ..., None], self.window)[
            ..., 0
        ]  # (windows, n)
        apart = region[:, None, :] != region[:, :, None]
        mask = torch.zeros_like(apart, dtype=like.dtype).masked_fill(apart, float("-inf"))
        return mask[:, None].repeat(b, 1, 1, 1)

    def _region(self, side: int, like: Tensor) -> Tensor:
        """(side,): 0, 1 or 2 for the parts of an axis that the roll leaves, or brings, beside each other."""
        index = torch.arange(side, device=like.device)
        return (index >= side - self.window).long() + (index >= side - self.shift).long()


def _to_windows(x: Tensor, n: int) -> Tensor:
    """(B, H, W, C) -> (B * windows, n * n, C)."""
    b, h, w, c = x.shape
    return x.view(b, h // n, n, w // n, n, c).transpose(2, 3).reshape(-1, n * n, c)
