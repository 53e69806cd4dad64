"""Features from a learned constant: what all normal images have in common, told by the style where one is unlike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.detectors.invad.config import InvADConfig
from model.detectors.invad.equalised import EqualisedConv
from model.detectors.invad.modulation import Block


class Stage(nn.Module):
    """The blocks that make one level.

    Args:
        inputs: channels of the stage before.
        width: of this one.
        channels: of the level that is made; where it is not the width, a 1 x 1 convolution follows.
        config: the other sizes.
        upsampling: whether the stage before had half the height and width.
    """

    def __init__(self, inputs: int, width: int, channels: int, config: InvADConfig, upsampling: bool):
        super().__init__()
        self.coding = nn.Sequential(
            EqualisedConv(config.style, config.style), EqualisedConv(config.style, config.code)
        )
        self.blocks = nn.ModuleList(
            Block(width if i else inputs, width, config.code, upsampling and i == 0)
            for i in range(config.blocks)
        )
        self.out = None if width == channels else EqualisedConv(width, channels, 1, activated=False)

    def forward(self, x: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """What the next stage goes on from (B, width, h, w), and the level (B, channels, h, w)."""
        code = self.coding(style)
        for block in self.blocks:
            x = block(x, code)
        return x, x if self.out is None else self.out(x)


class Decoder(nn.Module):
    """A learned constant, which is resized to the image, and a stage a level."""

    def __init__(self, config: InvADConfig):
        super().__init__()
        coarsest = config.widths[-1]
        self.constant = nn.Parameter(torch.randn(1, coarsest, *config.constant))
        self.start = EqualisedConv(coarsest, coarsest)
        widths = [coarsest, *reversed(config.widths)]
        self.stages = nn.ModuleList(
            Stage(inputs, width, channels, config, upsampling=i > 0)
            for i, (inputs, width, channels) in enumerate(
                zip(widths, widths[1:], reversed(config.channels), strict=False)
            )
        )

    def forward(self, styles: Sequence[Tensor]) -> list[Tensor]:
        """The levels (B, C, h, w), the finest first.

        Args:
            styles: (B, style, h, w) each, the coarsest first.
        """
        size = styles[0].shape[-2:]
        constant: Tensor = self.constant
        if constant.shape[-2:] != size:
            constant = F.interpolate(constant, size=size, mode="bilinear", align_corners=True)
        x = self.start(constant).expand(len(styles[0]), -1, -1, -1)
        levels = []
        for stage, style in zip(self.stages, styles, strict=True):
            x, level = stage(x, style)
            levels.append(level)
        return levels[::-1]
