"""What sets a place apart from its image: features without what their channels have in common.

The distance between two feature vectors is mostly made of directions in which the whole image varies. Divided by that
variance, and compared by the inner product instead of the distance, a single clicked place tells its defect from the
rest (exemplar LDA: Hariharan, Malik, Ramanan, ECCV 2012, section 2).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from model.features.backbones import centred

SHRINKAGE = 60.0
"""Added to the variance along each direction, in mean variances: rare directions are not blown up."""

DIRECTIONS = 96
"""Directions that are kept, those of the largest variance."""

WIDE = 5
"""Side, in stride-8 cells, of the windows in which texture is looked at once more."""

JOINED = ("stride16", "stride8", "texture", "stride4")


def discriminant(levels: dict[str, Tensor], grid: tuple[int, int], shrinkage: float = SHRINKAGE) -> Tensor:
    """(1, DIRECTIONS, *grid): the levels of one image joined, decorrelated, and centred.

    Args:
        levels: name -> (1, C, h, w), as :func:`model.evidence.prepared.level_maps` makes them; ``JOINED`` is needed.
        grid: height and width of the stride-8 grid.
        shrinkage: added to the variances, in mean variances.
    """
    wide = F.avg_pool2d(levels["texture"], WIDE, 1, WIDE // 2, count_include_pad=False)
    maps = torch.cat([_unit(_resized(m, grid)) for m in (*(levels[name] for name in JOINED), wide)], 1)
    cells = maps[0].flatten(1).float()
    cells = cells - cells.mean(1, keepdim=True)
    variances, directions = torch.linalg.eigh(cells @ cells.T / cells.shape[1])
    variances, directions = variances[-DIRECTIONS:].clamp_min(0), directions[:, -DIRECTIONS:]
    spread = (variances + shrinkage * variances.sum() / len(cells)).sqrt()
    found: Tensor = (directions / spread).T @ cells
    return found.view(1, -1, *grid)


def projections(maps: Tensor, clicked: Tensor, groups: list[Tensor]) -> Tensor:
    """How far each place goes in the direction of the clicked ones.

    Args:
        maps: (B, C, h, w), zero where a place is like the image on the whole (or like its references).
        clicked: (B, N, C), the vectors at the clicked places.
        groups: (B, N) bool each, which clicks count.

    Returns:
        (B, 2 * len(groups), h, w): for each group first the projection in lengths of the clicked vector, in [-1, 1.5],
        then the cosine; of the most alike click. 0 where the group is empty.
    """
    cells = maps.flatten(2)
    dots = clicked @ cells  # (B, N, M)
    length = clicked.square().sum(2, keepdim=True).clamp_min(1e-4)
    ratio = (dots / length).clamp(-1, 1.5)
    cosine = dots / (length.sqrt() * cells.square().sum(1, keepdim=True).clamp_min(1e-4).sqrt())
    out = []
    for group in groups:
        known = group.any(1)[:, None, None].float()
        for likeness in (ratio, cosine):
            out.append(known * likeness.masked_fill(~group[..., None], -1.0).amax(1, keepdim=True))
    return torch.cat(out, 1).view(len(maps), -1, *maps.shape[-2:])


def _unit(maps: Tensor) -> Tensor:
    return maps / centred(maps)[2].clamp_min(1e-3)


def _resized(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    if maps.shape[-1] > grid[1]:
        return F.adaptive_avg_pool2d(maps, grid)
    return F.interpolate(maps, size=grid, mode="bilinear", align_corners=False)
