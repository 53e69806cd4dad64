"""The small diffusion model: a U-Net that paints a box from its surroundings, and the encoder of a type's vector.

It works on crops of `SIDE` pixels, which are folded two by two into channels, so that the first grid has 32 x 32
places: that costs a quarter, and what is lost is finer than the crop is sharp. Beside the colours it paints a fourth
channel, where the defect is: whoever wants only the defect of what was painted, and the product's own pixels elsewhere,
needs it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDE = 64
"""Pixels of a crop, which is square."""

PAINTED = 4
"""Channels that are painted: the residual of red, green and blue, and where the defect is, -1 or 1."""

GIVEN = 4
"""Channels of what is given: the colours round the box, smoothly continued into it, and the box, 0 or 1."""

FOLD = 2


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of the network.

    Attributes:
        widths: channels of the grids of 32, 16 and 8 places a side.
        blocks: residual blocks on each.
        vector: numbers of a type's vector.
    """

    widths: tuple[int, ...] = (64, 96, 128)
    blocks: int = 1
    vector: int = 128


class Denoiser(nn.Module):
    """Predicts the velocity of a noisy crop (v-prediction, Salimans and Ho 2022, appendix D).

    Args:
        config: sizes.
    """

    def __init__(self, config: DenoiserConfig | None = None):
        super().__init__()
        self.config = config = config or DenoiserConfig()
        first, hidden = config.widths[0], 2 * config.widths[0]
        self.time = nn.Sequential(nn.Linear(first, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.kind = nn.Linear(config.vector, hidden)
        self.any_type = nn.Parameter(torch.zeros(config.vector))
        self.enter = nn.Conv2d((PAINTED + GIVEN) * FOLD**2, first, 3, padding=1)
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        kept, width = [first], first
        for level, wide in enumerate(config.widths):
            for _ in range(config.blocks):
                down.append(_Residual(width, wide, hidden))
                width = wide
                kept.append(width)
            if level + 1 < len(config.widths):
                down.append(_Halved(width))
                kept.append(width)
        self.down = nn.ModuleList(down)
        self.middle = nn.ModuleList(
            [_Residual(width, width, hidden), _Attention(width), _Residual(width, width, hidden)]
        )
        for level, wide in reversed(list(enumerate(config.widths))):
            for _ in range(config.blocks + 1):
                up.append(_Residual(width + kept.pop(), wide, hidden))
                width = wide
            if level:
                up.append(_Doubled(width))
        self.up = nn.ModuleList(up)
        last = _silent(nn.Conv2d(width, PAINTED * FOLD**2, 3, padding=1))
        self.leave = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), last)

    def forward(self, noisy: Tensor, given: Tensor, time: Tensor, vector: Tensor | None) -> Tensor:
        """The velocity.

        Args:
            noisy: (B, `PAINTED`, `SIDE`, `SIDE`) float32.
            given: (B, `GIVEN`, `SIDE`, `SIDE`) float32.
            time: (B,) float32 in [0, 1]: 0 is the clean crop, 1 noise alone.
            vector: (B, V) float32, the type's; None: any type.

        Returns:
            (B, `PAINTED`, `SIDE`, `SIDE`) float32.
        """
        if vector is None:
            vector = self.any_type.expand(len(noisy), -1)
        told = F.silu(self.time(_sinusoids(time, self.config.widths[0])) + self.kind(vector))
        x = self.enter(F.pixel_unshuffle(torch.cat([noisy, given], 1), FOLD))
        kept = [x]
        for layer in self.down:
            x = layer(x, told)
            kept.append(x)
        for layer in self.middle:
            x = layer(x, told)
        for layer in self.up:
            x = layer(x if isinstance(layer, _Doubled) else torch.cat([x, kept.pop()], 1), told)
        return F.pixel_shuffle(self.leave(x), FOLD)


class TypeEncoder(nn.Module):
    """A first guess of a type's vector from one of its defects, which the denoiser learns together with.

    Args:
        vector: numbers of the vector.
        width: channels of the first grid.
    """

    def __init__(self, vector: int, width: int = 32):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(PAINTED * FOLD**2, width, 3, padding=1)]
        for wide in (2 * width, 4 * width, 4 * width):
            layers += [nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, wide, 3, stride=2, padding=1)]
            width = wide
        self.layers = nn.Sequential(*layers, nn.GroupNorm(8, width), nn.SiLU())
        self.leave = nn.Linear(2 * width, vector)

    def forward(self, shown: Tensor) -> Tensor:
        """The vectors of crops with a defect each.

        Args:
            shown: (B, `PAINTED`, `SIDE`, `SIDE`) float32 in [-1, 1]: the crop and where its defect is.

        Returns:
            (B, V) float32, each of about the length sqrt(V).
        """
        seen = self.layers(F.pixel_unshuffle(shown, FOLD))
        pooled = torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], 1)
        return normalised(self.leave(pooled))


class Painter(nn.Module):
    """The denoiser and the encoder of types, which learn together."""

    def __init__(self, config: DenoiserConfig | None = None):
        super().__init__()
        self.denoiser = Denoiser(config)
        self.encoder = TypeEncoder(self.denoiser.config.vector)


def normalised(vector: Tensor) -> Tensor:
    """(..., V) vectors brought to the length sqrt(V): guidance multiplies directions, not lengths."""
    return F.normalize(vector, dim=-1) * math.sqrt(vector.shape[-1])


def _sinusoids(time: Tensor, width: int) -> Tensor:
    """(B,) in [0, 1] -> (B, width)."""
    rates = torch.exp(torch.linspace(0, math.log(1000.0), width // 2, device=time.device))
    angles = time[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


def _silent(layer: nn.Conv2d) -> nn.Conv2d:
    """A convolution that gives zeros at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class _Residual(nn.Module):
    """Two convolutions, the second of which time and type scale and shift, and a way past them."""

    def __init__(self, width: int, wide: int, told: int):
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, wide, 3, padding=1))
        self.norm = nn.GroupNorm(8, wide)
        self.told = nn.Linear(told, 2 * wide)
        self.second = _silent(nn.Conv2d(wide, wide, 3, padding=1))
        self.past = nn.Conv2d(width, wide, 1) if width != wide else nn.Identity()

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.told(told)[..., None, None].chunk(2, 1)
        y = self.norm(self.first(x)) * (1 + scale) + shift
        return torch.add(self.past(x), self.second(F.silu(y)))


class _Attention(nn.Module):
    """Every place looks at every other; on the coarsest grid only."""

    def __init__(self, width: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, width)
        self.ask = nn.Conv2d(width, 3 * width, 1)
        self.leave = _silent(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        count, width, height, across = x.shape
        asked = (
            self.ask(self.norm(x)).reshape(count, 3, self.heads, width // self.heads, -1).transpose(-1, -2)
        )
        seen = F.scaled_dot_product_attention(*asked.unbind(1))
        return torch.add(x, self.leave(seen.transpose(-1, -2).reshape(count, width, height, across)))


class _Halved(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.layer = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        halved: Tensor = self.layer(x)
        return halved


class _Doubled(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.layer = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        doubled: Tensor = self.layer(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return doubled
