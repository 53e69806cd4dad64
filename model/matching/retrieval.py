"""Which references an image is compared with (CPR's global retrieval, without anything learned)."""

from __future__ import annotations

import torch
from torch import Tensor

from model.features.backbones import Pyramid, centred
from model.features.encoding import DESCRIPTOR_BLOCKS, Encoded

MATCH_STRIDES = (4, 8, 16)  # the levels in which places are compared

KEPT_SHARE = 0.8  # of the blocks: the least alike fifth may be the defect


def retrieve(query: Tensor, bank: Tensor, count: int) -> list[int]:
    """Indices of the ``count`` references most similar to an image, most similar first.

    Block distances are squared L2 between blocks at the same place; an image's distance is the mean of its smallest
    80 %, so that a defect does not choose the references.

    Args:
        query: (D,) descriptor.
        bank: (N, D) descriptors of the references.
        count: how many to return; all when there are no more.
    """
    blocks = DESCRIPTOR_BLOCKS**2
    difference = bank - query
    distances = difference.square_().view(len(bank), blocks, -1).sum(2)  # (N, 36)
    kept = distances.sort(dim=1).values[:, : int(KEPT_SHARE * blocks)].mean(1)
    return [int(i) for i in kept.topk(min(count, len(bank)), largest=False).indices]


class Retrieved:
    """The references that one image is compared with, ready for matching.

    Channels are standardised by the mean and standard deviation over these references, so that no channel or level
    outweighs the others because of its units.
    """

    def __init__(self, references: list[Encoded]):
        if not references:
            raise ValueError("Retrieved needs at least one image; without references pass the image itself.")
        self.references = references
        self.statistics: dict[int, tuple[Tensor, Tensor]] = {}
        for stride in MATCH_STRIDES:
            values = torch.cat([r.pyramid[stride][0].flatten(1) for r in references], dim=1)  # (C, cells)
            _, mean, std = centred(values[None, :, None])
            self.statistics[stride] = (mean, std.clamp_min(1e-3))

    def standardise(self, pyramid: Pyramid, stride: int) -> Tensor:
        """The feature map of a stride in units of the references' standard deviations, (1, C, h, w)."""
        mean, std = self.statistics[stride]
        return (pyramid[stride] - mean) / std
