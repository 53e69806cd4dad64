"""A segmentation network as one detector among others: the packaged one, or a project's trained one."""

from __future__ import annotations

from adclick_runtime.combination import surprise
from model.checkpoint.backbone_id import BackboneId, packaged_behind
from model.checkpoint.manifest import CheckpointError
from model.detectors.detector import Found, Scene
from model.features.number_format import AUTO
from model.segmentation.predictor import SegPredictor

PACKAGED_NAME = "packaged"


class SegmentationDetector:
    """See :class:`model.detectors.detector.Detector`.

    Its map is the :func:`adclick_runtime.combination.surprise`.

    Args:
        name: of the detector.
        network: the segmentation network.
        long_side: of the working frame behind its backbone, pixels.
    """

    needs = 1

    def __init__(self, name: str, network: SegPredictor, long_side: int):
        self.name, self.backbone_id, self.long_side = name, network.backbone_id, long_side
        self.network = network

    def look(self, scene: Scene) -> Found:
        """The surprise in nats, (frame.height, frame.width) >= 0; the score is its maximum.

        Raises:
            ValueError: the image was not matched with references.
        """
        if scene.prepared is None:
            raise ValueError(
                f"{self.name} needs an image that was matched with references, and this one was not."
            )
        map_ = surprise(self.network.maps(scene.prepared, scene.frame))
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
