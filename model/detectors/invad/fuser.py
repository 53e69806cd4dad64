"""The levels of an image into one, and from it the style maps that the decoder is told by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.detectors.invad.config import InvADConfig
from model.detectors.invad.equalised import EqualisedConv


class Bottleneck(nn.Module):
    """ResNet's: narrow, look around, widen, add."""

    def __init__(self, width: int, squeezed: int):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(width, squeezed, 1, bias=False), nn.BatchNorm2d(squeezed), nn.ReLU()),
            *(nn.Conv2d(squeezed, squeezed, 3, padding=1, bias=False), nn.BatchNorm2d(squeezed), nn.ReLU()),
            *(nn.Conv2d(squeezed, width, 1, bias=False), nn.BatchNorm2d(width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) -> the same."""
        return F.relu(x + self.body(x))


class Fuser(nn.Module):
    """Brings every level to the coarsest grid, merges them, and widens what is left step by step into style maps."""

    def __init__(self, config: InvADConfig):
        super().__init__()
        sides = [config.strides[-1] // stride for stride in config.strides]  # 4, 2, 1
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, c, side, side), nn.BatchNorm2d(c))
            for c, side in zip(config.channels, sides, strict=True)
        )
        self.merge = nn.Sequential(
            nn.Conv2d(sum(config.channels), config.style, 1, bias=False),
            nn.BatchNorm2d(config.style),
            nn.ReLU(),
            Bottleneck(config.style, config.squeezed),
        )
        self.styles = nn.ModuleList(
            nn.Sequential(
                EqualisedConv(config.style, config.style, upsampling=step > 0),
                EqualisedConv(config.style, config.style),
            )
            for step in range(len(config.strides))
        )

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """The style maps (B, style, h, w) at the grids of the levels, the coarsest first.

        Args:
            levels: (B, C, h, w) each, the finest first.
        """
        lowered = [down(level) for down, level in zip(self.down, levels, strict=True)]
        x = self.merge(torch.cat(lowered, 1))
        maps = []
        for step in self.styles:
            x = step(x)
            maps.append(x)
        return maps
