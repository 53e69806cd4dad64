"""The detectors that a server has for all projects that nothing was trained for. Importing this imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from adclick_backend.store.proposal_source import JOINT, PACKAGED, ProposalSource
from model.checkpoint.backbone_id import BackboneId, backbone_of, packaged_behind
from model.checkpoint.described import check_detector
from model.checkpoint.manifest import CheckpointError, read_checked, read_manifest

_PACKAGED = ProposalSource(PACKAGED)


@dataclass(frozen=True)
class SharedDetector:
    """What proposes masks for projects that nothing was trained for.

    Attributes:
        source: the detectors of the setting, or the packaged network.
        version: name of the detectors; "" for the packaged network.
        problem: why the detectors of the setting do not propose, as a sentence; "" when they do, or there are none.
    """

    source: ProposalSource = _PACKAGED
    version: str = ""
    problem: str = ""

    @property
    def named(self) -> tuple[str, ProposalSource]:
        """The version and the source, as the registry of versions asks for them."""
        return self.version, self.source

    @classmethod
    def of(cls, weights: Path | None, click: Path) -> SharedDetector:
        """The detectors of a checkpoint, if they can be used.

        Args:
            weights: of the setting ``detector``; None for none.
            click: checkpoint of the network that answers clicks.
        """
        if weights is None:
            return cls()
        try:
            manifest = read_manifest(weights)
            check_detector(manifest, weights.name)
            read_checked(weights, manifest)
            backbone = BackboneId(manifest["backbone"], manifest["backbone_sha256"])
            if packaged_behind(backbone) is None and backbone != backbone_of(click, read_manifest(click)):
                raise CheckpointError(
                    f"{weights.name} was trained behind the backbone {backbone.name} ({backbone.sha256[:12]}), which "
                    "is not among the weights here."
                )
        except CheckpointError as error:
            return cls.refused(error)
        return cls(ProposalSource(JOINT.join(manifest["serves"]), detector=weights), str(manifest["version"]))

    @classmethod
    def refused(cls, why: Exception) -> SharedDetector:
        """The packaged network, for the detectors of the setting cannot be used."""
        return cls(
            problem=f"ADCLICK_DETECTOR cannot be used, so the packaged network proposes masks: {why} Name another "
            "file, or none, and start the backend again."
        )
