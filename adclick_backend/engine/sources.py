"""What masks before the first click come from: which source for which image, and its maps.

Importing this module imports no torch.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from adclick_backend.engine.bank import EngineError, ImageKey, Load, ReferenceBank, VersionError, explained
from adclick_backend.engine.eyes import Eyes
from adclick_backend.engine.networks import SegmentationNetworks
from adclick_backend.engine.prepared_images import PreparedImages
from adclick_backend.engine.project_detectors import ProjectDetectors
from adclick_backend.engine.shared_detector import SharedDetector
from adclick_backend.settings import Settings
from adclick_backend.store.proposal_source import (
    JOINT,
    NOTHING,
    PACKAGED,
    RESIDUAL,
    TRAINED,
    ProposalSource,
    parts_of,
)
from adclick_runtime.operating_points import at_points
from adclick_runtime.regions import Map
from model.checkpoint.manifest import BACKBONES

if TYPE_CHECKING:
    from adclick_runtime.frame import Frame
    from model.export.contents import ProductContents

log = logging.getLogger(__name__)

FEWEST_REFERENCES = 3
"""With fewer, nobody can say what is usual, and nothing is proposed that was not learned from labels."""


def too_few(bank: ReferenceBank) -> str:
    """That these references are too few to say anything without a trained version, as a sentence."""
    product = f" of the product {bank.product!r}" if bank.product else ""
    return (
        f"There are {len(bank.references)} references{product} and no trained version: {FEWEST_REFERENCES} references "
        "are needed to tell what is usual."
    )


class MapSources:
    """The networks and detectors that can say where defects are, each behind the backbone that it was trained with.

    Args:
        settings: of the backend.
        click: weights of the network that clicks are answered with.
        eyes: how images are seen.
        preparing: the thread that computes.
    """

    def __init__(self, settings: Settings, click: Path, eyes: Eyes, preparing: ThreadPoolExecutor) -> None:
        self._eyes, self._preparing = eyes, preparing
        # Trained behind the packaged backbone: behind another one it sees nothing that it knows.
        seg = next((networks.seg for networks in BACKBONES.values() if networks.click == click), None)
        packaged = seg if seg is not None and seg.exists() else None
        self.networks = SegmentationNetworks(settings.device, packaged, number_format=settings.number_format)
        self._detectors = ProjectDetectors(settings, preparing)
        self.shared = SharedDetector.of(settings.detector, click)
        """What proposes masks for projects that nothing was trained for."""
        if self.shared.problem:
            log.warning("%s", self.shared.problem)

    def load(self, weights: Path) -> PreparedImages:
        """Load the segmentation network of a trained version; the images as it must see them (:meth:`Eyes.behind`)."""
        return self._eyes.behind(weights, "segmentation", self.networks.backbone)

    def load_detector(self, weights: Path) -> PreparedImages:
        """Load the detectors of a trained version; see :meth:`load`."""
        return self._eyes.behind(weights, "detector", self._detectors.backbone)

    def warm_up(self) -> None:
        """Load the detectors that the server has for all projects, if it has any."""
        if (detector := self.shared.source.detector) is not None:
            try:
                self.load_detector(detector)
            except VersionError as error:
                self._refuse_shared(error)

    def of(self, bank: ReferenceBank, asked: ProposalSource | None) -> str:
        """What the maps of an image with these references would come from; `NOTHING` when there is nothing.

        With fewer than `FEWEST_REFERENCES` references a trained network makes them, or nothing does.

        Args:
            bank: the references.
            asked: of the project; None where nothing was trained: that of `shared`.
        """
        asked = asked or self.shared.source
        if asked.trained is not None and (asked.name == TRAINED or len(bank.references) < FEWEST_REFERENCES):
            return TRAINED
        if len(bank.references) < FEWEST_REFERENCES:
            return NOTHING
        if asked.name == PACKAGED and self.networks.packaged is None:
            return RESIDUAL
        return asked.name

    def see(
        self, key: ImageKey, bank: ReferenceBank, load: Load, asked: ProposalSource | None = None
    ) -> tuple[str, Frame, dict[str, Map]]:
        """What makes the maps of an image, the working frame of the image, and the maps; none when nothing makes any.

        The maps lie at the operating points that were chosen for the source, and for no other one.

        Args:
            key: the image.
            bank: its references, perhaps itself among them.
            load: reads the image (H, W, 3) uint8 RGB; only called when it has to be prepared.
            asked: what is to make the maps, as far as the references allow it; None for `shared`.

        Returns:
            Of the maps: defect type -> probability (frame.height, frame.width) float32 in [0, 1].

        Raises:
            VersionError: a checkpoint cannot be used.
            EngineError: the model cannot be loaded, or cannot be asked this.
        """
        asked = asked or self.shared.source
        source, frame, maps = self._see(key, bank, load, asked)
        return source, frame, at_points(maps, dict(asked.points)) if source == asked.name else maps

    def unlike(
        self, key: ImageKey, bank: ReferenceBank, load: Load, asked: ProposalSource | None = None
    ) -> float:
        """How unlike its references an image is, as a multiple of what they are unlike each other; see :meth:`see`."""
        from model.evidence.anomaly_map import joint_level

        asked, others = asked or self.shared.source, bank.without(key.sha)
        images = self._images_for(self.of(others, asked), asked)
        usual = images.usual_level(others)
        return joint_level(images.open(key, others, load, {}).prepared) / usual if usual else 0.0

    def contents(self, bank: ReferenceBank, asked: ProposalSource | None = None) -> ProductContents:
        """All that makes the maps of images with these references, for a detector that leaves the backend.

        Raises:
            VersionError: a checkpoint cannot be used.
            EngineError: there is nothing to propose from, or the model cannot be loaded.
        """
        from model.export.contents import ProductContents

        asked = asked or self.shared.source
        source = self.of(bank, asked)
        if source == NOTHING:
            raise EngineError(too_few(bank))
        weights = asked.trained if source == TRAINED else None
        images, detectors, calibrations = self._images_for(source, asked), {}, {}
        if parts_of(source) and asked.detector is not None:
            with explained("detector", asked.detector):
                held, product = self._detectors.measured(images, bank, asked.detector, source)
            joint = JOINT.join(parts_of(source))
            calibrations = {
                name: usual
                for name in (*parts_of(source), joint)
                if (usual := held.calibration(product, name)) is not None
            }
            detectors = {
                name: held.detectors[name] for name in parts_of(source) if name not in (PACKAGED, RESIDUAL)
            }
        segmenters = {}
        with explained("segmentation", weights):
            if weights is not None:
                segmenters[TRAINED] = self.networks.get(weights)
            elif PACKAGED in (source, *parts_of(source)) and self.networks.packaged is not None:
                segmenters[PACKAGED] = self.networks.get(self.networks.packaged)
        eyes, normal, peaks, usual_level, references = images.taken_along(bank)
        return ProductContents(
            name=bank.product,
            source=source,
            eyes=eyes,
            names=bank.references,
            references=references,
            normal=normal,
            peaks=peaks,
            usual=usual_level,
            white=bank.white,
            points=dict(asked.points) if source == asked.name else {},
            calibrations=calibrations,
            segmenters=segmenters,
            detectors=detectors,
        )

    def _see(
        self, key: ImageKey, bank: ReferenceBank, load: Load, asked: ProposalSource
    ) -> tuple[str, Frame, dict[str, Map]]:
        """The same as the networks are calibrated."""
        others = bank.without(key.sha)
        source = self.of(others, asked)
        if parts_of(source) and asked.detector is not None:
            try:
                return self._see_anomalies(key, bank, load, asked.detector, source)
            except VersionError as error:
                if asked.calibrated != self.shared.source:
                    raise
                self._refuse_shared(error)
                return self._see(key, bank, load, self.shared.source)
        weights = asked.trained if source == TRAINED else None
        images = self._images_for(source, asked)
        opened = images.open(key, others, load, {})
        if source == NOTHING:
            return source, opened.frame, {}
        peaks = images.peaks(others) if weights is None else []
        judged = self.networks.residual if source == RESIDUAL else partial(self.networks.maps, weights)
        with explained("segmentation", weights):
            maps = self._preparing.submit(judged, opened.prepared, opened.frame, peaks).result()
        return source, opened.frame, maps

    def _see_anomalies(
        self, key: ImageKey, bank: ReferenceBank, load: Load, weights: Path, source: str
    ) -> tuple[str, Frame, dict[str, Map]]:
        """The same by detectors."""
        images = self.load_detector(weights)
        with explained("detector", weights):
            maps = self._detectors.maps(images, key, bank, load, weights, source)
        return source, images.open(key, bank.without(key.sha), load, {}).frame, maps

    def _images_for(self, source: str, asked: ProposalSource) -> PreparedImages:
        """The images as the networks see them that a source asks."""
        if parts_of(source) and asked.detector is not None:
            return self.load_detector(asked.detector)
        if source == TRAINED and asked.trained is not None:
            return self.load(asked.trained)
        return self._eyes.own

    def _refuse_shared(self, error: VersionError) -> None:
        """From now on the packaged network proposes for projects that nothing was trained for."""
        self.shared = SharedDetector.refused(error)
        log.warning("%s", self.shared.problem)
