"""Equalised convolutions: weights drawn with deviation 1 and scaled when used, so that all learn equally fast.

Karras et al., Progressive Growing of GANs, ICLR 2018, section 4.1; the upsampling form, with its blur, is of Karras et
al., StyleGAN2, CVPR 2020.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EqualisedConv(nn.Module):
    """A convolution, a bias and a leaky ReLU (slope 0.2, times sqrt 2).

    The published code slows the style path down by a factor of 0.01 in its upsampling convolutions and, by accident, in
    no other; here all convolutions learn equally fast.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the kernel, odd.
        bias: what the bias starts at; None: there is none.
        activated: whether the leaky ReLU follows.
        upsampling: whether it is transposed, of stride 2, and blurred.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        bias: float | None = 0.0,
        activated: bool = True,
        upsampling: bool = False,
    ):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = None if bias is None else nn.Parameter(torch.full((outputs,), float(bias)))
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.activated, self.upsampling = activated, upsampling

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w), or twice as high and wide."""
        weight, kernel = self.weight * self.scale, self.weight.shape[-1]
        if self.upsampling:
            grown = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # (2h - 2 + k, 2w - 2 + k)
            x = blurred(F.pad(grown, 4 * [(5 - kernel) // 2]))
            if self.bias is not None:
                x = x + self.bias.view(1, -1, 1, 1)
        else:
            x = F.conv2d(x, weight, self.bias, padding=kernel // 2)
        return F.leaky_relu(x, 0.2) * math.sqrt(2) if self.activated else x


def blurred(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, h - 3, w - 3), under the kernel 1-3-3-1 both ways, which adds up to 4.

    4, since of the places between which a transposed convolution of stride 2 puts zeros, one in four says something.
    The kernel is the one of two equal numbers, three times.
    """
    for _ in range(3):
        x = F.avg_pool2d(x, 2, stride=1)
    return 4 * x
