"""What judges an image: a segmentation network, the residual, or detectors; each by a network or none of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.anomaly_map import agreed, residual_probability
from adclick_runtime.calibration import logarithm
from adclick_runtime.combination import combined, joined, surprise
from adclick_runtime.errors import BundleError
from adclick_runtime.expected import sigmoid
from adclick_runtime.networks import Network
from adclick_runtime.scene import Scene
from adclick_runtime.type_head import MAPS, share

Map = NDArray[np.float32]

Detector = Callable[[Scene], Map]
"""An image beside its references -> (h, w) >= 0 of the whole working frame, how unlike good images each place is."""

TRAINED, PACKAGED, RESIDUAL = "trained", "packaged", "residual"
"""Sources of maps that are no detectors; the packaged network and the residual can also be parts of one."""

JOINT = "+"

DEFECT = "defect"
"""What a region is called when nobody said what it is."""

SMOOTHING = 2.0
"""Standard deviation, in working pixels, of the blur of the logits: a lone bright pixel is rarely a defect."""


class Segmenter:
    """ADClick-Seg: one map for each type.

    Args:
        network: as :mod:`model.export.segmentation` wrote it.
        offsets: type -> what is subtracted from its logits, in the order of the network.
        head: arrays of the linear classifier of the types: ``mean``, ``scale``, ``weight``, ``bias``; empty for none.
    """

    def __init__(self, network: Network, offsets: Mapping[str, float], head: Mapping[str, Map]):
        self._network, self._offsets, self._head = network, offsets, head

    def maps(self, scene: Scene) -> dict[str, Map]:
        """Defect type -> calibrated probability (frame.height, frame.width) float32 in [0, 1]."""
        shown, image = scene.evidence, scene.image
        inputs = {"relative": shown.relative, "vectors": shown.vectors}
        inputs["colour"] = np.ascontiguousarray(image.colour.transpose(2, 0, 1))
        inputs |= {f"stride{stride}": maps for stride, maps in image.maps.items()}
        found = self._network({name: np.asarray(maps)[None] for name, maps in inputs.items()})
        maps = [
            sigmoid(cv2.GaussianBlur(logits, (0, 0), SMOOTHING) - offset, np.inf)
            for logits, offset in zip(found["logits"], self._offsets.values(), strict=True)
        ]
        if self._head:
            looked = {name: found[f"seen_{name}"][0] for name in MAPS if f"seen_{name}" in found}
            maps = share(maps, {**inputs, **looked}, self._likely)
        return dict(zip(self._offsets, maps, strict=True))

    def _likely(self, descriptions: Map) -> Map:
        head = self._head
        logits = (descriptions - head["mean"]) / head["scale"] @ head["weight"].T + head["bias"]
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(odds / odds.sum(1, keepdims=True), np.float32)


def anomaly(scene: Scene) -> Map:
    """The residual as a detector: the distance of each place to its best match."""
    return np.exp(scene.evidence.score / 2)


class Judges:
    """All that a bundle holds to judge images by.

    Args:
        segmenters: `TRAINED` and `PACKAGED`, those that there are.
        detectors: by name.
    """

    def __init__(self, segmenters: Mapping[str, Segmenter], detectors: Mapping[str, Detector]):
        self._segmenters = segmenters
        self._detectors = {**detectors, RESIDUAL: anomaly}
        if packaged := segmenters.get(PACKAGED):
            self._detectors[PACKAGED] = lambda scene: surprise(packaged.maps(scene))

    def maps(self, scene: Scene) -> tuple[dict[str, Map], float]:
        """What is where in an image, and how unlike the references it is.

        Returns:
            Defect type -> probability (frame.height, frame.width) float32 in [0, 1], and
            :attr:`adclick_runtime.detection.Detection.unlike`.
        """
        source, product = scene.product.source, scene.product
        if source == TRAINED:
            found = self._segmenters[TRAINED].maps(scene)
        elif source == PACKAGED:
            maps = self._segmenters[PACKAGED].maps(scene)
            found = {name: agreed(map_, scene.evidence.score, product.peaks) for name, map_ in maps.items()}
        elif source == RESIDUAL:
            found = {DEFECT: residual_probability(scene.evidence.score, scene.frame, product.peaks)}
        else:
            return self._together(scene, source.split(JOINT))
        return found, _unlike(scene)

    def _together(self, scene: Scene, names: Sequence[str]) -> tuple[dict[str, Map], float]:
        usual, key = scene.product.calibrations, joined(names)
        missing = [name for name in (*names, key) if name not in usual]
        if missing:
            raise BundleError(
                f"The bundle does not know what {missing[0]} gives for good images: export it again."
            )
        logs = {name: logarithm(self._detectors[name](scene), scene.frame) for name in names}
        found = usual[key].probability(combined(logs, names, usual), scene.frame)
        if scene.matched:
            return {DEFECT: found}, _unlike(scene)
        unlike = [float(np.exp(np.median(logs[name]) - usual[name].location)) for name in names]
        return {DEFECT: found}, max(unlike)


def _unlike(scene: Scene) -> float:
    if scene.mismatch:
        return scene.mismatch
    return scene.evidence.level / scene.product.usual if scene.product.usual and scene.nearest else 0.0


def head_of(tensors: Mapping[str, NDArray[Any]], name: str) -> dict[str, Map]:
    """The classifier of the types of a segmentation network, among the constants of a bundle; empty for none."""
    names = {"mean": "mean", "scale": "scale", "weight": "linear.weight", "bias": "linear.bias"}
    return {
        ours: np.asarray(tensors[f"{name}/types.{theirs}"], np.float32)
        for ours, theirs in names.items()
        if f"{name}/types.{theirs}" in tensors
    }
