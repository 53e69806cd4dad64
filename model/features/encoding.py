"""An image into the form in which it is compared: the working frame, its colours, its features, its descriptor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from adclick_runtime.frame import colours, to_working_frame
from model.features.backbones import Backbone, Pyramid

DESCRIPTOR_BLOCKS = 6


@dataclass
class Encoded:
    """What is known of one image before it is compared. All maps have the batch dimension 1.

    Attributes:
        colour: (1, 3, H/2, W/2) float32, CIELAB / 255, of the working frame.
        pyramid: feature maps by stride.
        descriptor: (D,) float32, for :func:`model.matching.retrieval.retrieve`.
    """

    colour: Tensor
    pyramid: Pyramid
    descriptor: Tensor

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the stride-8 grid."""
        h, w = self.pyramid[8].shape[-2:]
        return int(h), int(w)

    def to(self, device: torch.device) -> Encoded:
        """The same on another device; itself when it is there already."""
        if self.colour.device == device:
            return self
        pyramid = {stride: maps.to(device) for stride, maps in self.pyramid.items()}
        return Encoded(self.colour.to(device), pyramid, self.descriptor.to(device))


def encode(image: NDArray[np.uint8], backbone: Backbone, long_side: int, device: torch.device) -> Encoded:
    """Encode an image (H, W, 3), RGB, uint8."""
    resized = to_working_frame(image, long_side)
    rgb = torch.from_numpy(resized).to(device).permute(2, 0, 1)[None].float()
    colour = torch.from_numpy(colours(resized)).to(device).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        pyramid = {stride: maps.float() for stride, maps in backbone(rgb).items()}
        return Encoded(colour, pyramid, describe(pyramid))


def describe(pyramid: Pyramid) -> Tensor:
    """Descriptor (D,) of an image: the mean features of 6 x 6 blocks of the stride-8 map, block by block.

    Blocks, so that :func:`model.matching.retrieval.retrieve` can leave the least alike ones out (CPR, section "global
    retrieval"; the learning-free metric of the final ADClick compares windows at the same place, as here).
    """
    blocks = F.adaptive_avg_pool2d(pyramid[8], DESCRIPTOR_BLOCKS)  # (1, C, 6, 6)
    return blocks[0].flatten(1).T.reshape(-1).contiguous()  # (36 * C,)
