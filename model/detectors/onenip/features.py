"""What OneNIP looks at: the levels of a pyramid on one grid, each channel in units of its own spread."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.detectors.channel_statistics import ChannelStatistics
from model.detectors.onenip.config import CELL, OneNIPConfig
from model.features.backbones import Pyramid


class Levels(nn.Module):
    """The levels of a pyramid, brought to the grid of stride 16 and laid one behind the other (section 3.1).

    A finer level is averaged over each cell; the authors sample it bilinearly with aligned corners, which reads four
    of its places a cell and moves the grid against the image.
    """

    def __init__(self, config: OneNIPConfig):
        super().__init__()
        self.levels = dict(zip(config.strides, config.channels, strict=True))
        self.statistics = ChannelStatistics(sum(config.channels))

    def joint(self, pyramid: Pyramid) -> Tensor:
        """(B, C, h, w): all levels on the grid of stride 16, as they are.

        Raises:
            ValueError: the pyramid has not the levels of the network.
        """
        found = {stride: int(maps.shape[1]) for stride, maps in pyramid.items()}
        if any(found.get(stride) != channels for stride, channels in self.levels.items()):
            raise ValueError(
                f"The network was made for features of {said(self.levels)}, and is given {said(found)}: use it "
                "behind the backbone that it was trained with."
            )
        grid = int(pyramid[CELL].shape[-2]), int(pyramid[CELL].shape[-1])
        maps = [pyramid[stride].float() for stride in self.levels]
        return torch.cat([m if m.shape[-2:] == grid else F.adaptive_avg_pool2d(m, grid) for m in maps], 1)

    def forward(self, joint: Tensor) -> Tensor:
        """Joint features (B, C, h, w) standardised by the training images, if the network is."""
        return self.statistics(joint)  # type: ignore[no-any-return]


def said(levels: dict[int, int]) -> str:
    """Feature levels in words."""
    return ", ".join(f"{channels} channels at stride {stride}" for stride, channels in sorted(levels.items()))


def jittered(features: Tensor, strength: float) -> Tensor:
    """Features (B, C, h, w) with noise: at each place normal, of standard deviation norm / C * ``strength``.

    UniAD's feature jitter (You et al., NeurIPS 2022, section 3.4), so that copying the input does not pay.
    """
    spread = torch.linalg.vector_norm(features, dim=1, keepdim=True) * (strength / features.shape[1])
    noisy: Tensor = features + spread * torch.randn_like(features)
    return noisy
