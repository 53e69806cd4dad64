"""The residual against the references as a detector: nothing is learned (Eq. 3-4 of the paper)."""

from __future__ import annotations

import numpy as np

from model.checkpoint.backbone_id import BackboneId
from model.detectors.detector import Found, Scene
from model.evidence.anomaly_map import anomaly_score

RESIDUAL_NAME = "residual"


class ResidualDetector:
    """See :class:`model.detectors.detector.Detector`.

    Args:
        backbone_id: the backbone of the click network that prepares its scenes.
        long_side: of the working frame, pixels.
    """

    name = RESIDUAL_NAME
    needs = 1

    def __init__(self, backbone_id: BackboneId, long_side: int):
        self.backbone_id, self.long_side = backbone_id, long_side

    def look(self, scene: Scene) -> Found:
        """The distance of each place to its best match, on the stride-2 grid; the score is the largest.

        Raises:
            ValueError: the image was not matched with references.
        """
        if scene.prepared is None:
            raise ValueError(
                "The residual needs an image that was matched with references; this one was not."
            )
        map_ = np.exp(anomaly_score(scene.prepared) / 2)
        return Found(map_, float(map_.max()))
