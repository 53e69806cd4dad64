"""OneNIP as a detector: an image beside the most similar good image of its product."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.checkpoint.backbone_id import BackboneId
from model.detectors.detector import Found, Scene
from model.detectors.onenip.network import OneNIP

POOLED = 14
"""The image score is the highest mean over a square of this part of the longer side: 16 of 224 px in the paper."""


class OneNIPDetector:
    """A trained network behind one backbone.

    The prompt of the paper's network is the first reference of a scene, the most similar one. The authors draw one of
    the product's training images for each image anew: what is said of an image then changes from one time to the next.

    Args:
        name: of the method and its size.
        network: trained; used in evaluation mode.
        backbone_id: of the backbone that it was trained behind.
        long_side: longer side of the working frame, pixels.
        device: where it computes.
    """

    needs = 1

    def __init__(
        self, name: str, network: OneNIP, backbone_id: BackboneId, long_side: int, device: str = "cpu"
    ):
        self.name, self.backbone_id, self.long_side = name, backbone_id, long_side
        self._device = torch.device(device)
        self.network = network.eval().to(self._device)

    @torch.inference_mode()
    def look(self, scene: Scene) -> Found:
        """The anomaly map of an image, at a quarter of the working frame's size, and its highest mean over a square.

        Raises:
            ValueError: the scene has no reference, or features of another backbone.
        """
        if not scene.references:
            raise ValueError(
                f"{self.name} compares an image with a good image of its product, and there is none: mark one as good."
            )
        levels = self.network.levels
        image, *references = (
            levels(levels.joint(seen.to(self._device).pyramid)) for seen in (scene.image, *scene.references)
        )
        prompt = self.network.prompt(image, references)
        found = self.network.map(image, self.network(image, prompt))
        return Found(np.asarray(found[0, 0].cpu().numpy(), np.float32), image_score(found))


def image_score(found: Tensor) -> float:
    """The highest mean of a map (1, 1, h, w) over a square of 1 / 14 of its longer side (section 4.1)."""
    side = max(1, round(max(found.shape[-2:]) / POOLED))
    return float(F.avg_pool2d(found, side, 1).max())
