"""InvAD: the levels of an image in, the same made anew from what normal images have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.detectors.channel_statistics import ChannelStatistics
from model.detectors.invad.config import InvADConfig
from model.detectors.invad.decoder import Decoder
from model.detectors.invad.fuser import Fuser


class InvAD(nn.Module):
    """Fuser and decoder (Zhang et al., COCO-AD, 2024, section 4); the encoder before it is frozen and not part of it.

    The statistics by which channels are standardised are buffers; at first they change nothing, and where the sizes ask
    for it, a training sets them (:meth:`fit`).
    """

    def __init__(self, config: InvADConfig):
        super().__init__()
        self.config = config
        self.statistics = nn.ModuleDict(
            {str(s): ChannelStatistics(c) for s, c in zip(config.strides, config.channels, strict=True)}
        )
        self.fuser = Fuser(config)
        self.decoder = Decoder(config)

    def forward(self, pyramid: Mapping[int, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The levels of the encoder, standardised if need be, and the same made anew; (B, C, h, w) each, finest first.

        Args:
            pyramid: feature maps by stride, (B, C, h, w) float32; more strides than are made anew may be there.
        """
        levels = [self.statistics[str(s)](pyramid[s]) for s in self.config.strides]
        if self.config.pooled > 1:
            levels = [F.avg_pool2d(level, self.config.pooled) for level in levels]
        return levels, self.decoder(self.fuser(levels))

    @torch.no_grad()
    def fit(self, pyramids: Sequence[Mapping[int, Tensor]]) -> None:
        """Take the statistics of the channels from training images, if the sizes ask for it."""
        if not self.config.standardised:
            return
        for stride in self.config.strides:
            self.statistics[str(stride)].fit(pyramid[stride] for pyramid in pyramids)  # type: ignore[operator]


def inversion_loss(levels: Sequence[Tensor], made: Sequence[Tensor], weight: float = 1.0) -> Tensor:
    """The sum over the levels of the mean squared difference, times ``weight``; a scalar.

    Args:
        levels: (B, C, h, w) each, of the encoder.
        made: the same, of the decoder.
        weight: 1 for the paper's network, 5 for its light one.
    """
    parts = [(level - again).square().mean() for level, again in zip(levels, made, strict=True)]
    return weight * torch.stack(parts).sum()
