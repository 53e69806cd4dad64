"""The vision transformer ViT-S/14 in the form of DINOv2, as far as its blocks are of use for comparing places.

Dosovitskiy et al., ICLR 2021; Oquab et al., TMLR 2024 (arXiv 2304.07193): class token, learned positions, layer scale.
Its last blocks know what a picture is about and no longer where, so they are left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, HEADS, PATCH = 384, 6, 14
PLACES = 37  # positions along a side that were learned, for images of 518 px


class Attention(nn.Module):
    """Multi-head self-attention; queries, keys and values from one matrix."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> the same."""
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(b, n, c))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """A block: attention and a perceptron of one hidden layer, each normalised before and scaled after."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.scale1, self.scale2 = (nn.Parameter(torch.ones(width)) for _ in range(2))
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> the same."""
        x = x + self.scale1 * self.attention(self.norm1(x))
        return x + self.scale2 * self.narrow(F.gelu(self.widen(self.norm2(x))))  # type: ignore[no-any-return]


class ViT(nn.Module):
    """Patches of 14 px in, the output of some blocks as maps out.

    Args:
        taps: numbers of the blocks whose output is wanted, from 1; what lies behind the last of them is not computed.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, taps: tuple[int, ...] = (6, 8, 9)) -> None:
        super().__init__()
        self.taps = taps
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.places = nn.Parameter(torch.zeros(1, 1 + PLACES**2, WIDTH))
        self.layers = nn.ModuleList(Layer(WIDTH, HEADS) for _ in range(max(taps)))
        self.register_buffer("mean", torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1))

    def forward(self, rgb: Tensor) -> dict[int, Tensor]:
        """(B, 3, H, W) in [0, 255], multiples of 14 -> number of a block: (B, 384, H / 14, W / 14)."""
        return self.seen(rgb, self._places(rgb.shape[-2] // PATCH, rgb.shape[-1] // PATCH))

    def seen(self, rgb: Tensor, places: Tensor) -> dict[int, Tensor]:
        """The same with the positions (1, 1 + h * w, C) of the patches given."""
        x = self.patches((rgb - self.mean) / self.std)
        b, _, h, w = x.shape
        x = torch.cat([self.token.expand(b, -1, -1), x.flatten(2).transpose(1, 2)], 1) + places
        found = {}
        for number, layer in enumerate(self.layers, 1):
            x = layer(x)
            if number in self.taps:
                found[number] = x[:, 1:].transpose(1, 2).reshape(b, -1, h, w)
        return found

    def _places(self, h: int, w: int) -> Tensor:
        """(1, 1 + h * w, C): the positions at another number of patches."""
        if (h, w) == (PLACES, PLACES):
            return self.places
        grid = self.places[:, 1:].float().view(1, PLACES, PLACES, -1).permute(0, 3, 1, 2)
        resized = F.interpolate(grid, size=(h, w), mode="bicubic", align_corners=False)
        return torch.cat([self.places[:, :1], resized.flatten(2).transpose(1, 2).to(self.places.dtype)], 1)
