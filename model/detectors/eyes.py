"""What a detector sees with: a frozen backbone at one working size."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint.backbone_id import BackboneId
from model.checkpoint.files import load_into
from model.checkpoint.manifest import CheckpointError
from model.detectors.checkpoint import DetectorCheckpoint
from model.features.backbones import Backbone
from model.features.encoding import Encoded, encode
from model.features.timm_pyramid import named_pyramid

Image = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""


class Eyes(Protocol):
    """Whatever encodes images; a :class:`model.interactive.predictor.Predictor` is one.

    Attributes:
        backbone_id: of the backbone.
        long_side: longer side of the working frame, pixels.
    """

    backbone_id: BackboneId
    long_side: int

    def encode(self, image: Image) -> Encoded:
        """The features of an image."""


class BackboneEyes:
    """A backbone that no click network sees with, one of timm's for example.

    Args:
        backbone: frozen, on its device.
        backbone_id: of it.
        long_side: longer side of the working frame, pixels.
        device: where it computes.
    """

    def __init__(self, backbone: Backbone, backbone_id: BackboneId, long_side: int, device: str = "cpu"):
        self.backbone, self.backbone_id, self.long_side = backbone, backbone_id, long_side
        self._device = torch.device(device)

    def encode(self, image: Image) -> Encoded:
        """The features of an image."""
        return encode(image, self.backbone, self.long_side, self._device)


def own_eyes(checkpoint: DetectorCheckpoint, source: str, device: str = "cpu") -> BackboneEyes | None:
    """The eyes of detectors whose checkpoint holds their backbone; None for those that see with a click network.

    Args:
        checkpoint: of the detectors.
        source: its name, for messages.
        device: where they compute.

    Raises:
        CheckpointError: the backbone cannot be made here, or is another one than that of the training.
    """
    if not checkpoint.backbone:
        return None
    backbone = named_pyramid(checkpoint.backbone_id.name)
    load_into(backbone, dict(checkpoint.backbone), f"{source} (backbone)")
    if backbone.backbone_id != checkpoint.backbone_id:
        raise CheckpointError(
            f"{source} holds another backbone than the one that its manifest says (sha256 "
            f"{backbone.backbone_id.sha256[:12]} instead of {checkpoint.backbone_id.sha256[:12]}): train it again."
        )
    return BackboneEyes(backbone.to(device), checkpoint.backbone_id, checkpoint.long_side, device)
