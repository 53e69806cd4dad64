"""What masks before the first click can come from, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

AUTOMATIC = ""
"""The choice of a project that leaves it to what was measured."""

TRAINED, PACKAGED, RESIDUAL = "trained", "packaged", "residual"

NOTHING = "none"
"""Where there is too little to propose from."""

ALWAYS, LEARNED, NEVER = "always", "trained", "never"
"""When a project wants masks before the first click: whatever they come from, only from a trained version, never."""

WHEN = {
    ALWAYS: "on",
    LEARNED: "only from a trained version",
    NEVER: "off",
}
"""The same, as a person reads it."""

NETWORKS = {
    TRAINED: "the trained network",
    PACKAGED: "the packaged network",
    RESIDUAL: "the residual",
    "invad-tiny": "InvAD",
    "onenip-tiny": "OneNIP",
    "patchcore": "PatchCore",
}
"""Source, or part of a detector -> what a person calls it."""

JOINT = "+"
"""Between the parts of a detector whose maps are combined."""

UNWANTED = {
    NEVER: "Masks before the first click are switched off for this project",
    LEARNED: "Masks before the first click are wanted from a trained version only, and what serves now was not trained "
    "on this project",
}
"""Why nothing is proposed where `WHEN` keeps it from that, without a full stop."""


@dataclass(frozen=True)
class ProposalSource:
    """What makes the maps that masks are proposed from.

    Attributes:
        name: `TRAINED`, `PACKAGED`, `RESIDUAL`, or the parts of a detector that make the map, ``+`` between them.
        trained: checkpoint of the project's segmentation network, which also proposes for a product that has too few
            references for anything else; None when it has none.
        detector: checkpoint of the project's detectors; None when it has none.
        points: (defect type, probability from which on a place counts), sorted by type, where a person chose another
            one than the calibrated 0.5 (:mod:`adclick_runtime.operating_points`). They are for the maps of `name`.
    """

    name: str
    trained: Path | None = None
    detector: Path | None = None
    points: tuple[tuple[str, float], ...] = ()

    @property
    def learned(self) -> bool:
        """Whether the masks come from something that was trained on the project."""
        return self.name not in (PACKAGED, RESIDUAL)

    @property
    def calibrated(self) -> ProposalSource:
        """The same without the operating points that a person chose: what a network is judged by."""
        return replace(self, points=())

    def at(self, points: Mapping[str, float]) -> ProposalSource:
        """The same with these operating points."""
        return replace(self, points=tuple(sorted(points.items())))

    @property
    def by_hand(self) -> frozenset[str]:
        """Defect types whose operating point a person chose."""
        return frozenset(name for name, _ in self.points)

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts of the detector that make the map; none when no detector does."""
        return parts_of(self.name)


def parts_of(name: str) -> tuple[str, ...]:
    """Parts of a detector that a source is made of; none for one that is not a detector."""
    return () if name in (TRAINED, PACKAGED, RESIDUAL, NOTHING) else tuple(name.split(JOINT))


def words_of_source(name: str) -> str:
    """What a person calls a source: ``InvAD and the residual``."""
    *first, last = (NETWORKS.get(part, part) for part in (parts_of(name) or (name,)))
    return f"{', '.join(first)} and {last}" if first else last
