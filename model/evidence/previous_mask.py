"""Previous mask: what the mask after the click before says of every place (``previous`` in the manifest).

Of two equal trainings from scratch the one with the previous mask is not the better one (see the ablations in the model
card): new networks go without. The packaged `adclick-lite-6` goes on from one that had it, and has it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from model.evidence.prepared import DISCRIMINANT, Prepared, size_of, to_grid

SPREAD_LEVELS = ("colour", "stride4", "stride8", "texture")
"""In which the mask so far says what belongs to it."""

MASK_LAYOUT = {
    "previous": 1,
    **{f"spread {name}": 1 for name in (*SPREAD_LEVELS, "residual")},
    **{f"towards {name}": 1 for name in (DISCRIMINANT, "residual")},
}
"""How many maps there are of each kind, in their order."""

MASK_CHANNELS = sum(MASK_LAYOUT.values())


def mask_evidence(prepared: Prepared, previous: Tensor) -> Tensor:
    """All maps.

    Args:
        prepared: of B images.
        previous: (B, 1, h, w) probability map so far on the stride-2 grid, in [0, 1]; zeros before the first click.

    Returns:
        (B, MASK_CHANNELS, h, w) float32.
    """
    grid = size_of(prepared.static)
    spread = [*(prepared.levels[name] for name in SPREAD_LEVELS), prepared.vectors]
    maps = [_likeness(level, previous) for level in spread]
    maps += [towards_mask(level, previous) for level in (prepared.levels[DISCRIMINANT], prepared.vectors)]
    return torch.cat([previous, *(to_grid(m, grid) for m in maps)], 1)


def _likeness(maps: Tensor, mask: Tensor) -> Tensor:
    """(B, 1, h, w): how much more a place is like the mask so far than like the rest of the image, compressed.

    The log-likelihood ratio of two Gaussians with diagonal covariance, per channel; 0 while the mask is empty. This is
    how GrabCut spreads what one stroke said, in one step and in features.

    Args:
        maps: (B, C, h, w).
        mask: (B, 1, H, W) probabilities.
    """
    inside = F.adaptive_avg_pool2d(mask, size_of(maps))
    ratio = torch.zeros_like(inside)
    for weight, sign in ((inside, -1), (1 - inside, 1)):
        share = weight / weight.sum((2, 3), keepdim=True).clamp_min(1.0)
        mean = (share * maps).sum((2, 3), keepdim=True)
        variance = (share * (maps - mean).square()).sum((2, 3), keepdim=True) + 0.05
        ratio = ratio + sign * ((maps - mean).square() / variance + variance.log()).mean(1, keepdim=True)
    known = (inside.sum((2, 3), keepdim=True) > 1.0).float()
    return known * ratio.clamp(-6, 6) / 3


def towards_mask(maps: Tensor, mask: Tensor) -> Tensor:
    """(B, 1, h, w) in [-1, 1]: on which side of the plane between the mask so far and the rest a place lies.

    The plane of Fisher's linear discriminant, for maps that are decorrelated; 0 while the mask is empty.

    Args:
        maps: (B, C, h, w).
        mask: (B, 1, H, W) probabilities.
    """
    inside = F.adaptive_avg_pool2d(mask, (maps.shape[-2], maps.shape[-1]))
    means = [
        (maps * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp_min(1.0)
        for weight in (inside, 1 - inside)
    ]
    normal, middle = means[0] - means[1], (means[0] + means[1]) / 2
    side = ((maps - middle) * normal).sum(1, keepdim=True)
    known = (inside.sum((2, 3), keepdim=True) > 1.0).float()
    return known * (side / normal.square().sum(1, keepdim=True).clamp_min(1e-4)).clamp(-2, 2) / 2
