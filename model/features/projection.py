"""Principal components of features: the directions in which places of images differ most."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

PLACES = 300
"""Of each image, drawn at random, so that large images do not outweigh small ones."""


def principal_components(maps: Iterable[Tensor], count: int, seed: int = 0) -> tuple[Tensor, Tensor, float]:
    """The 1 x 1 convolution that keeps the ``count`` directions of the largest variance.

    Each channel is standardised first, so that none outweighs the others by its units.

    Args:
        maps: (1, C, h, w) of one image each; some hundred places for each of C channels are enough.
        count: directions to keep; beyond C of them there are none, and zero in their place.
        seed: of the places that are looked at.

    Returns:
        Weight (count, C, 1, 1) and bias (count,), float32, and the share of the variance that is kept.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for one in maps:
        places = one[0].flatten(1).T
        rows.append(places[torch.randperm(len(places), generator=generator)[:PLACES]].double())
    cells = torch.cat(rows)
    mean, std = cells.mean(0), cells.std(0).clamp_min(1e-6)
    cells = (cells - mean) / std
    variances, directions = torch.linalg.eigh(cells.T @ cells / len(cells))
    kept = directions[:, -count:].flip(1)
    kept = torch.nn.functional.pad(kept, (0, count - kept.shape[1]))
    weight = (kept / std[:, None]).T.float()[..., None, None].contiguous()
    bias = (-(mean / std) @ kept).float()
    return weight, bias, float(variances[-count:].sum() / variances.sum())
