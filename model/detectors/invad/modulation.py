"""Spatial style modulation: what a stage makes is scaled and shifted place by place, by a code of the image."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from model.detectors.invad.equalised import EqualisedConv


class ModulatedConv(nn.Module):
    """Normalise over channels and places, scale and shift by the code, convolve, activate.

    Args:
        inputs: channels.
        outputs: channels.
        code: channels of the code.
        upsampling: the output is twice as high and wide; the code, which has its size, is not used then.
    """

    def __init__(self, inputs: int, outputs: int, code: int, upsampling: bool = False):
        super().__init__()
        self.gamma = None if upsampling else EqualisedConv(code, inputs, bias=1.0, activated=False)
        self.beta = None if upsampling else EqualisedConv(code, inputs, bias=0.0, activated=False)
        self.conv = EqualisedConv(inputs, outputs, upsampling=upsampling)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """(B, inputs, h, w) and the code (B, code, h, w) -> (B, outputs, h, w), or twice as high and wide."""
        x = F.group_norm(x, 1)  # the layer normalisation over (C, h, w)
        if self.gamma is not None and self.beta is not None:
            x = x * self.gamma(code) + self.beta(code)
        return self.conv(x)  # type: ignore[no-any-return]


class Block(nn.Module):
    """Two modulated convolutions beside a linear way, their sum over sqrt 2; see :class:`ModulatedConv`."""

    def __init__(self, inputs: int, outputs: int, code: int, upsampling: bool = False):
        super().__init__()
        self.first = ModulatedConv(inputs, outputs, code, upsampling)
        self.second = ModulatedConv(outputs, outputs, code)
        self.skip = EqualisedConv(inputs, outputs, 1, bias=None, activated=False, upsampling=upsampling)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w), or twice as high and wide, which is the size of the code."""
        return (self.second(self.first(x, code), code) + self.skip(x)) / math.sqrt(2)  # type: ignore[no-any-return]
