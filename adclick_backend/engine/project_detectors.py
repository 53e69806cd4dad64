"""Detectors in use, and what they say of an image. Importing this module imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adclick_backend.engine.bank import EngineError, ImageKey, Load, ReferenceBank
from adclick_backend.engine.networks import LoadedNetworks
from adclick_backend.engine.prepared_images import MEASURED_REFERENCES, PreparedImages
from adclick_backend.keyed_locks import KeyedLocks
from adclick_backend.settings import Settings
from adclick_backend.store.proposal_source import parts_of
from adclick_runtime.regions import Map
from model.checkpoint.atomic import write_atomically
from model.checkpoint.manifest import CheckpointError, read_manifest

if TYPE_CHECKING:
    from model.checkpoint.backbone_id import BackboneId
    from model.detectors.detector import Scene
    from model.segmentation.detector_predictor import DetectorPredictor


class ProjectDetectors:
    """The detectors of projects' versions, and those that the server has for all projects.

    A checkpoint says what is usual on good images of the products that it was trained with. For others that is measured
    on their own references when it is first needed, and kept with what was seen of them.

    Args:
        settings: of the backend.
        preparing: the thread that computes.
    """

    def __init__(self, settings: Settings, preparing: ThreadPoolExecutor) -> None:
        self._settings, self._preparing = settings, preparing
        self._loaded: LoadedNetworks[DetectorPredictor] = LoadedNetworks(self._read)
        self._measuring = KeyedLocks()

    def _read(self, weights: Path) -> DetectorPredictor:
        from model.segmentation.detector_predictor import DetectorPredictor

        return DetectorPredictor(weights, self._settings.device, self._settings.number_format)

    def backbone(self, weights: Path) -> BackboneId:
        """The backbone that the detectors of a checkpoint were trained behind.

        Raises:
            CheckpointError: the file is missing, damaged, or holds something else.
        """
        return self._loaded.get(weights).backbone_id

    def maps(
        self,
        images: PreparedImages,
        key: ImageKey,
        bank: ReferenceBank,
        load: Load,
        weights: Path,
        source: str,
    ) -> dict[str, Map]:
        """What is where in an image.

        Args:
            images: as the detectors must see them.
            key: the image.
            bank: the references of its product.
            load: reads the image (H, W, 3) uint8 RGB.
            weights: of the detectors.
            source: which of them make the map.

        Returns:
            Defect type -> probability (frame.height, frame.width) float32 in [0, 1].

        Raises:
            CheckpointError: the checkpoint cannot be used.
            EngineError: it cannot be asked this.
        """
        self._measure(images, bank, weights, source)
        others, product = bank.without(key.sha), self._product(bank, weights)
        opened = images.open(key, others, load, {})

        def look() -> dict[str, Map]:
            predictor = self._loaded.get(weights)
            if predictor.long_side != max(opened.frame.height, opened.frame.width):
                raise CheckpointError(
                    f"{weights.name} looks at images of {predictor.long_side} pixels, and the click network at "
                    f"{max(opened.frame.height, opened.frame.width)}: train the project again."
                )
            return predictor.maps(images.scene(key, others, load, opened, product), parts_of(source))

        try:
            return self._preparing.submit(look).result()
        except ValueError as error:
            raise EngineError(f"The detector cannot look at this image: {error}") from error

    def measured(
        self, images: PreparedImages, bank: ReferenceBank, weights: Path, source: str
    ) -> tuple[DetectorPredictor, str]:
        """The detectors of a checkpoint, and the name by which they know what is usual for a product; see `maps`."""
        self._measure(images, bank, weights, source)
        return self._loaded.get(weights), self._product(bank, weights)

    def _measure(self, images: PreparedImages, bank: ReferenceBank, weights: Path, source: str) -> None:
        """Learn what is usual on good images of a product, unless that is known."""
        product = self._product(bank, weights)
        with self._measuring.hold((weights, product)):
            predictor = self._preparing.submit(self._loaded.get, weights).result()
            if predictor.calibrated(product, parts_of(source)):
                return
            digest = hashlib.sha256(f"{read_manifest(weights)['sha256']} {product}".encode()).hexdigest()
            kept = images.files.folder(bank.project) / f"{digest[:32]}.usual-map.json"
            with suppress(OSError, ValueError, CheckpointError):  # what cannot be read is measured again
                predictor.take(product, json.loads(kept.read_text("utf-8")))
            if predictor.calibrated(product, parts_of(source)):
                return
            scenes = [
                self._reference(images, bank, sha, product) for sha in bank.references[:MEASURED_REFERENCES]
            ]
            found = self._preparing.submit(
                self._measured, predictor, product, scenes, parts_of(source)
            ).result()
            with suppress(OSError):  # a full disk costs time, not masks
                write_atomically(kept, json.dumps(found).encode(), durable=False)

    def _reference(
        self, images: PreparedImages, bank: ReferenceBank, sha: str, product: str
    ) -> Callable[[], Scene]:
        """Opens a reference; the scene of it beside the others is made when it is called."""
        key, others = bank.key(sha), bank.without(sha)
        load = partial(images.references.kept_copy, key)
        return partial(images.scene, key, others, load, images.open(key, others, load, {}), product)

    def _measured(
        self,
        predictor: DetectorPredictor,
        product: str,
        scenes: list[Callable[[], Scene]],
        serves: Sequence[str],
    ) -> dict[str, Any]:
        try:
            return predictor.calibrate(product, (scene() for scene in scenes), serves)
        except ValueError as error:
            raise EngineError(f"What the detector sees in good images cannot be measured: {error}") from error

    def _product(self, bank: ReferenceBank, weights: Path) -> str:
        """What the detectors know a product by.

        Those of the server were not trained for any project here, and know each by the references that it has.
        """
        if weights != self._settings.detector:
            return bank.product
        return f"{bank.project}/{bank.product}/{min(len(bank.references), MEASURED_REFERENCES)}"
