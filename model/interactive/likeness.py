"""How like every place of an image is to an example: features at all strides and the residual, decorrelated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model.evidence.prepared import DISCRIMINANT, Prepared, size_of

COMPARED = ("colour", "stride2", "stride4", "stride8", "texture", DISCRIMINANT)
"""Levels in which an example is described, beside its residual vectors: what it looks like, and how it is unusual."""

ELSEWHERE = tuple(name for name in COMPARED if name != DISCRIMINANT)
"""Levels in which an example of one image is compared with places of another: the discriminant one has directions of
its own in each image, the others are in units of the image's spread, much the same for images of one product."""

SHRINKAGE = 20.0
"""Added to the variance along each direction, in mean variances: an example of a few cells says little of the rare
directions. Chosen on drawn products (3, 20 and 60 were tried)."""


@dataclass(frozen=True)
class Cells:
    """Some cells of the stride-4 grid.

    Attributes:
        numbers: (N,) int64, row by row.
        weights: (N,) float64, how much each counts.
    """

    numbers: NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """What an example looks like.

    Attributes:
        vector: (D,) decorrelated features, zero for what looks like the image on the whole.
    """

    vector: Tensor

    def ratio(self, other: Look) -> float:
        """How far another look goes in the direction of this one, in lengths of this one; 1 for itself."""
        return float(self.vector @ other.vector / self.vector.square().sum().clamp_min(1e-6))

    def cosine(self, other: Look) -> float:
        """The cosine of the angle between both, in [-1, 1]."""
        length = (self.vector.norm() * other.vector.norm()).clamp_min(1e-6)
        return float(self.vector @ other.vector / length)


class Likeness:
    """The places of one image, on its stride-4 grid, and what they have in common.

    Exemplar LDA (Hariharan, Malik, Ramanan, ECCV 2012, section 2), as in :mod:`model.evidence.discriminant`, over all
    features and with the mean over a mask as the example.

    Args:
        prepared: one image.
        levels: in which its places are described, beside the residual.
    """

    def __init__(self, prepared: Prepared, levels: Sequence[str] = COMPARED):
        self.grid = size_of(prepared.levels["stride4"])
        maps = [*(prepared.levels[name] for name in levels), prepared.vectors]
        cells = torch.cat([_block(m.float(), self.grid) for m in maps])
        self._cells = cells - cells.mean(1, keepdim=True)  # (D, N)
        covariance = self._cells @ self._cells.T / self._cells.shape[1]
        covariance.diagonal().add_(SHRINKAGE * covariance.diagonal().mean())
        self._root = torch.linalg.cholesky(covariance)

    def mean(self, cells: Cells) -> Tensor:
        """(D,): how some cells differ from the image on the whole, on average."""
        share = torch.from_numpy(cells.weights / cells.weights.sum()).float()
        return self._cells[:, torch.from_numpy(cells.numbers)] @ share

    def look(self, mean: Tensor) -> Look:
        """What differs so from its image (:meth:`mean`, of this image or of another one), as this image shows it."""
        return Look(torch.linalg.solve_triangular(self._root, mean[:, None], upper=False)[:, 0])

    def to(self, looks: Sequence[Look]) -> list[NDArray[np.float32]]:
        """For each look, how far each cell goes in its direction (h, w) float32: 1 where a cell is like it."""
        found = []
        for look in looks:
            direction = torch.linalg.solve_triangular(self._root.T, look.vector[:, None], upper=True)[:, 0]
            along = direction @ self._cells / look.vector.square().sum().clamp_min(1e-6)
            found.append(np.asarray(along.view(*self.grid).numpy(), np.float32))
        return found


def _block(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """(C, N): maps (1, C, h, w) on the grid, each level weighing the same whatever its width."""
    if maps.shape[-1] > grid[1]:
        maps = F.adaptive_avg_pool2d(maps, grid)
    elif size_of(maps) != grid:
        maps = F.interpolate(maps, size=grid, mode="bilinear", align_corners=False)
    cells: Tensor = maps[0].flatten(1) / (maps.shape[1] ** 0.5 * maps.std().clamp_min(1e-3))
    return cells
