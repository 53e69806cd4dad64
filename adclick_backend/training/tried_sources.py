"""The sources of masks that a candidate can propose from, tried on the same images beside what serves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adclick_backend.engine.bank import ReferenceBank
from adclick_backend.services import Services
from adclick_backend.store.proposal_source import JOINT, PACKAGED, RESIDUAL, TRAINED, ProposalSource
from adclick_backend.store.version import DETECTOR, WEIGHTS
from adclick_backend.training.holdout import Split
from adclick_backend.training.promotion import Look
from adclick_backend.training.source_trial import Trial, choose_source, try_sources
from adclick_backend.training.training_set import key_of, whole
from adclick_backend.training.trial_images import TrialImages, draw_defects
from model.checkpoint.manifest import manifest_path, read_manifest
from model.labels.labelled import LabelledImage


class TriedSources:
    """The images of a trial with all defects drawn, and what is seen in them.

    Args:
        project: project id.
        services: of this process.
        candidate: folder of what may become a version.
        images: that no training saw.
    """

    def __init__(self, project: str, services: Services, candidate: Path, images: TrialImages) -> None:
        self._project, self._services, self._candidate = project, services, candidate
        self._images = images
        self.drawn, self._hosts = draw_defects(images.good)
        readable = set(self._hosts.values())
        self._good = [image for image in images.good if image.name in readable]

    @property
    def split(self) -> Split:
        """What a version is judged by where nobody labelled a defect."""
        return Split([], self.drawn, self._good, held_out=self._images.held_out)

    def look(self, asked: ProposalSource | None) -> Look:
        """What is seen in an image of the trial, compared with references that are not tried themselves.

        Args:
            asked: what makes the maps; None for what proposes without a version.
        """

        def look(image: LabelledImage) -> Mapping[str, NDArray[np.float32]]:
            key = key_of(self._project, image)
            return self._services.engine.maps(key, self._bank(image), whole(image), asked)

        return look

    def sources(self, asked: ProposalSource | None) -> set[str]:
        """What really makes the maps of the images of the trial, which may have too few references for a source."""
        return {self._services.engine.source(self._bank(image), asked) for image in self.all}

    @property
    def all(self) -> list[LabelledImage]:
        """Every image: labelled ones, drawn defects, good ones."""
        return [*self._images.labelled, *self.drawn, *self._good]

    def proposing(self, name: str) -> ProposalSource:
        """A source of the candidate."""
        detector = self._candidate / DETECTOR
        return ProposalSource(
            name, self._candidate / WEIGHTS, detector if manifest_path(detector).exists() else None
        )

    def looks(self) -> dict[str, Look]:
        """Every source that the candidate can propose from -> what it sees; the trained network first."""
        names = [TRAINED, PACKAGED, RESIDUAL, *self._detectors()]
        sources = [self.proposing(name) for name in names]
        return {s.name: self.look(s) for s in sources if s.name == TRAINED or self.sources(s) == {s.name}}

    def decide(self, looks: Mapping[str, Look], types: int, progress: Callable[[float], None]) -> Trial:
        """Try the sources, and choose the one that is to serve.

        Args:
            looks: of `looks`.
            types: how many defect types are labelled.
            progress: told the share that is done; may raise.
        """
        if len(looks) == 1:
            return Trial(next(iter(looks)), "", ())
        tried = try_sources(looks, self._images.labelled, self.drawn, self._good, progress)
        return choose_source(tried, self.all, types, self._images.held_out)

    def _detectors(self) -> Sequence[str]:
        """The detectors of the candidate, and the combinations that its training calibrated."""
        detector = self._candidate / DETECTOR
        if not manifest_path(detector).exists():
            return []
        manifest = read_manifest(detector)
        parts = [str(part["name"]) for part in manifest["parts"]]
        usual = list(manifest["calibration"].values())
        joint = [
            name for name in (usual[0] if usual else ()) if JOINT in name and all(name in u for u in usual)
        ]
        names = [name for name in parts if name not in (PACKAGED, RESIDUAL)]
        return [*names, *joint]

    def _bank(self, image: LabelledImage) -> ReferenceBank:
        bank = self._services.references.bank(self._project, image.product)
        gone = {self._hosts.get(image.name, image.name), *self._images.unseen}
        return replace(bank, references=tuple(sha for sha in bank.references if sha not in gone))
