"""A segmentation network as one detector among others: the packaged one, or a project's trained one."""

from __future__ import annotations

import numpy as np

from model.checkpoint.backbone_id import BackboneId, packaged_behind
from model.checkpoint.manifest import CheckpointError
from model.detectors.detector import Found, Scene
from model.features.number_format import AUTO
from model.segmentation.predictor import SegPredictor

PACKAGED_NAME = "packaged"

MOST = np.float32(1 - 1e-6)
"""No probability counts for more: one has no logarithm of what is left."""


class SegmentationDetector:
    """See :class:`model.detectors.detector.Detector`.

    With p the highest probability of any type (Eq. 7) its map is -log(1 - p): how surprising it were if the place was
    good. Where p is small this is p, and where it is nearly one it still tells more from less.

    Args:
        name: of the detector.
        network: the segmentation network.
        long_side: of the working frame behind its backbone, pixels.
    """

    needs = 1

    def __init__(self, name: str, network: SegPredictor, long_side: int):
        self.name, self.backbone_id, self.long_side = name, network.backbone_id, long_side
        self._network = network

    def look(self, scene: Scene) -> Found:
        """The surprise in nats, (frame.height, frame.width) >= 0; the score is its maximum.

        Raises:
            ValueError: the image was not matched with references.
        """
        if scene.prepared is None:
            raise ValueError(
                f"{self.name} needs an image that was matched with references, and this one was not."
            )
        highest = np.maximum.reduce(list(self._network.maps(scene.prepared, scene.frame).values()))
        map_ = -np.log1p(-np.minimum(highest, MOST))
        return Found(map_, float(map_.max()))


def packaged_detector(
    behind: BackboneId, long_side: int, device: str = "cpu", asked: str = AUTO
) -> SegmentationDetector:
    """The packaged segmentation network behind a backbone.

    Raises:
        CheckpointError: there is none behind this backbone, or it cannot be read.
    """
    networks = packaged_behind(behind)
    if networks is None or not networks.seg.exists():
        raise CheckpointError(
            f"No segmentation network is packaged behind the backbone {behind.name}: name other detectors."
        )
    return SegmentationDetector(PACKAGED_NAME, SegPredictor(networks.seg, device, asked), long_side)
