"""PatchCore (Roth et al., CVPR 2022) on the features of this project: the peer that ADClick-Seg is measured against.

Learns nothing: a thinned-out bank of the patches of the references, and each patch's distance to the nearest of them.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.features.encoding import Encoded
from model.matching.residual import joint_features
from model.matching.retrieval import Retrieved

CORESET = 1000  # patches kept at most
PROJECTED = 32  # dimensions in which the coreset is chosen
SMOOTHING = 4.0  # standard deviation of the blur of the map, working pixels

_CHUNK = 1024


class PatchCore:
    """A bank of normal patches.

    Args:
        references: defect-free images, at least one.
        coreset: how many patches are kept.
        seed: of the random projection and the first centre.
    """

    def __init__(self, references: list[Encoded], coreset: int = CORESET, seed: int = 0):
        self._retrieved = Retrieved(references)
        patches = torch.cat([self._patches(r)[0] for r in references])
        self.bank = patches[k_centres(patches, coreset, seed)]

    @torch.inference_mode()
    def map(self, image: Encoded) -> NDArray[np.float32]:
        """Distance of each place to the nearest patch of the bank, (H, W) float32 >= 0, of the working frame."""
        patches, (h, w) = self._patches(image)
        distances = [
            torch.cdist(patches[start : start + _CHUNK], self.bank).amin(1)
            for start in range(0, len(patches), _CHUNK)
        ]
        grid = torch.cat(distances).view(h, w).numpy()
        height, width = (2 * int(side) for side in image.colour.shape[-2:])
        enlarged = cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.GaussianBlur(enlarged, (0, 0), SMOOTHING), np.float32)

    def _patches(self, image: Encoded) -> tuple[Tensor, tuple[int, int]]:
        """(h * w, D) features of 3 x 3 patches on the stride-8 grid, and its size."""
        maps = torch.cat(list(joint_features(image, self._retrieved).values()), 1)
        return maps[0].flatten(1).T.contiguous(), image.grid


def k_centres(points: Tensor, count: int, seed: int = 0) -> Tensor:
    """Indices of ``count`` points (N, D) such that every point is near one of them: greedy farthest-first.

    Distances are taken in a random projection, as in the paper, for speed.
    """
    if count >= len(points):
        return torch.arange(len(points))
    generator = torch.Generator().manual_seed(seed)
    if points.shape[1] > PROJECTED:
        points = points @ torch.randn(points.shape[1], PROJECTED, generator=generator) / PROJECTED**0.5
    chosen = int(torch.randint(len(points), (1,), generator=generator))
    nearest = torch.full((len(points),), float("inf"))
    centres = []
    for _ in range(count):
        centres.append(chosen)
        nearest = torch.minimum(nearest, (points - points[chosen]).square().sum(1))
        chosen = int(nearest.argmax())
    return torch.tensor(centres)
