"""InvAD as a detector: where the features of an image are unlike those that were made anew."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model.checkpoint.backbone_id import BackboneId
from model.detectors.detector import Found, Scene
from model.detectors.invad.network import InvAD

SMOOTHING = 4.0 / 256
"""Standard deviation of the blur of the map, in longer sides of the image: 4 pixels of 256."""


class InvADDetector:
    """See :class:`model.detectors.detector.Detector`; looks at the image alone.

    Args:
        name: of the method and its size.
        network: trained.
        backbone_id: the backbone behind which it was trained.
        long_side: of the working frame, pixels.
        device: where it computes.
    """

    needs = 0

    def __init__(
        self, name: str, network: InvAD, backbone_id: BackboneId, long_side: int, device: str = "cpu"
    ):
        self.name, self.backbone_id, self.long_side = name, backbone_id, long_side
        self._device = torch.device(device)
        self.network = network.eval().to(self._device)

    @torch.inference_mode()
    def look(self, scene: Scene) -> Found:
        """The anomaly map of an image, of the size of its frame; the score of the image is its maximum."""
        strides = self.network.config.strides
        levels, made = self.network({s: scene.image.pyramid[s].float().to(self._device) for s in strides})
        size = scene.frame.height, scene.frame.width
        map_ = smoothed(anomaly_maps(levels, made, size)[0].cpu().numpy())
        return Found(map_, float(map_.max()))


def anomaly_maps(levels: Sequence[Tensor], made: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """One minus the cosine of the features and of those that were made anew, (B, height, width) in [0, 2].

    Every level counts the same: its vectors are brought to length 1, enlarged to the grid of the finest, and
    concatenated.

    Args:
        levels: (B, C, h, w) each, of the encoder, the finest first.
        made: the same, of the decoder.
        size: height and width of the maps, pixels.
    """
    unlike = anomaly_grid(levels, made)
    return F.interpolate(unlike[:, None], size=size, mode="bilinear", align_corners=True)[:, 0]


def anomaly_grid(levels: Sequence[Tensor], made: Sequence[Tensor]) -> Tensor:
    """The same on the grid of the finest level, (B, h, w) in [0, 2]."""
    grid = levels[0].shape[-2:]
    ours, theirs = (_side_by_side(found, grid) for found in (levels, made))
    return (1 - F.cosine_similarity(ours, theirs)).clamp_min(0)


def _side_by_side(levels: Sequence[Tensor], grid: torch.Size) -> Tensor:
    """Vectors of length 1 a level, (B, sum of C, *grid)."""
    unit = (F.normalize(level) for level in levels)
    return torch.cat([F.interpolate(u, size=grid, mode="bilinear", align_corners=True) for u in unit], 1)


def smoothed(map_: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map (H, W) under a Gaussian of `SMOOTHING`."""
    return np.asarray(cv2.GaussianBlur(map_, (0, 0), SMOOTHING * max(map_.shape)), np.float32)
