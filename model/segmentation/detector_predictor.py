"""Masks before the first click from detectors: an image beside its references in, a calibrated probability map out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.calibration import Calibration, logarithm
from adclick_runtime.combination import combined, joined
from model.checkpoint.manifest import CheckpointError
from model.detectors.checkpoint import DetectorCheckpoint, Part, read_detector
from model.detectors.combination import calibrate
from model.detectors.detector import Detector, Scene
from model.detectors.eyes import own_eyes
from model.detectors.methods import detector_of
from model.detectors.residual import RESIDUAL_NAME, ResidualDetector
from model.features.number_format import AUTO
from model.labels.labelled import DEFECT
from model.segmentation.detector import PACKAGED_NAME, packaged_detector


class DetectorPredictor:
    """The detectors of one checkpoint.

    Args:
        weights: a checkpoint that :func:`model.detectors.checkpoint.write_detector` wrote.
        device: where to compute.
        asked: the number format that is asked for (:mod:`model.features.number_format`).

    Attributes:
        version: name of the checkpoint.
        backbone_id: the backbone whose features it must be given.
        long_side: longer side of the working frame whose features it must be given, pixels.
        detectors: its parts by name, in the order of the checkpoint.
        serves: names of those that make the map, unless others are asked for.
        own_eyes: what its detectors see with; None for those that see with the backbone of a click network.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another network.
        ValueError: there is no such number format.
    """

    def __init__(self, weights: Path, device: str = "cpu", asked: str = AUTO):
        checkpoint = read_detector(weights)
        self._source = weights.name
        self.own_eyes = own_eyes(checkpoint, weights.name, device)
        self.version, self.serves = checkpoint.version, tuple(checkpoint.serves)
        self.backbone_id, self.long_side = checkpoint.backbone_id, checkpoint.long_side
        self.detectors: dict[str, Detector] = {
            part.name: _detector(part, checkpoint, weights.name, device, asked) for part in checkpoint.parts
        }
        self._calibrations = {
            product: self._read(product, said) for product, said in checkpoint.calibration.items()
        }

    def calibrated(self, product: str, serves: Sequence[str] | None = None) -> bool:
        """Whether it is known what is usual on good images of a product, for the detectors that serve or others."""
        return self._key(serves) in self._calibrations.get(product, {})

    def calibration(self, product: str, name: str) -> Calibration | None:
        """What is usual for one part on good images of a product; None where it is not known."""
        return self._calibrations.get(product, {}).get(name)

    def maps(self, scene: Scene, serves: Sequence[str] | None = None) -> dict[str, NDArray[np.float32]]:
        """Where the image is probably defective.

        Args:
            scene: the image beside its references.
            serves: names of parts that make the map together; default: those of the checkpoint.

        Returns:
            ``DEFECT`` -> (frame.height, frame.width) float32 in [0, 1]; above 0.5 in a defect.

        Raises:
            ValueError: there is no such part, it is not known what is usual for the product (:meth:`calibrate`), or the
                scene lacks something that a detector needs.
        """
        key, names = self._key(serves), self._names(serves)
        usual = self._calibrations.get(scene.product, {})
        if key not in usual:
            raise ValueError(
                f"{self.version} does not know what {key} gives for good images of "
                f"{scene.product or 'this product'}: train it again with two or more of them."
            )
        found = {name: logarithm(self.detectors[name].look(scene).map, scene.frame) for name in names}
        standardised = combined(found, names, usual)
        return {DEFECT: usual[key].probability(standardised, scene.frame)}

    def calibrate(
        self, product: str, scenes: Iterable[Scene], serves: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Find out, and remember, what is usual on good images of a product that the checkpoint does not know.

        Args:
            product: as its scenes name it.
            scenes: of good images, none of which has itself among its references.
            serves: names of parts that are to make a map together; default: those of the checkpoint.

        Returns:
            What :meth:`take` takes, as JSON has it: of each part, and of these together.

        Raises:
            ValueError: there is no such part, no scene, or a detector gives values that are no numbers.
        """
        found = calibrate(list(self.detectors.values()), scenes, [self._names(serves)])
        self._calibrations.setdefault(product, {}).update(found)
        return {name: calibration.as_json() for name, calibration in found.items()}

    def take(self, product: str, said: Mapping[str, Any]) -> None:
        """Take what :meth:`calibrate` found earlier.

        Raises:
            CheckpointError: it is something else.
        """
        self._calibrations.setdefault(product, {}).update(self._read(product, said))

    def _names(self, serves: Sequence[str] | None) -> tuple[str, ...]:
        """The parts that are asked for, in the order of the checkpoint.

        Raises:
            ValueError: there is no such part.
        """
        asked = self.serves if serves is None else serves
        unknown = [name for name in asked if name not in self.detectors]
        if unknown or not asked:
            raise ValueError(
                f"{self._source} holds {', '.join(self.detectors)}, and not {unknown[0] if unknown else 'none'!r:.60}."
            )
        return tuple(name for name in self.detectors if name in asked)

    def _key(self, serves: Sequence[str] | None) -> str:
        return joined(self._names(serves))

    def _read(self, product: str, said: object) -> dict[str, Calibration]:
        try:
            if not isinstance(said, Mapping):
                raise ValueError(f"A calibration has a name, not {said!r:.60}.")
            return {str(name): Calibration.from_json(value) for name, value in said.items()}
        except ValueError as error:
            raise CheckpointError(
                f"The manifest of {self._source}, product {product!r:.60}: {error}"
            ) from error


def _detector(part: Part, checkpoint: DetectorCheckpoint, source: str, device: str, asked: str) -> Detector:
    behind, long_side = checkpoint.backbone_id, checkpoint.long_side
    if part.method == RESIDUAL_NAME:
        return ResidualDetector(behind, long_side)
    if part.method == PACKAGED_NAME:
        return packaged_detector(behind, long_side, device, asked)
    return detector_of(part, behind, long_side, source, device)
