"""A prompt put together for one image: at each place, the most similar place of some good images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_CHUNK = 1024  # places that are compared at a time


@torch.no_grad()
def assembled(image: Tensor, references: Sequence[Tensor], channels: Sequence[int]) -> Tensor:
    """What the good images have that is most like each place of an image, (1, C, h, w).

    Args:
        image: features (1, C, h, w).
        references: features (1, C, h', w') of good images, at least one.
        channels: how many each level has, one behind the other; in the comparison all levels count the same.
    """
    weights = torch.cat([torch.full((count,), count**-0.5) for count in channels]).to(image.device)
    places = image[0].flatten(1).T  # (h * w, C)
    bank = torch.cat([reference[0].flatten(1) for reference in references], 1).T
    weighed = bank * weights
    lengths = weighed.square().sum(1)
    nearest = [(lengths - 2 * (part * weights) @ weighed.T).argmin(1) for part in torch.split(places, _CHUNK)]
    return bank[torch.cat(nearest)].T.reshape(image.shape)
