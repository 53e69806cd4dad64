"""What masks before the first click can come from, by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

AUTOMATIC = ""
"""The choice of a project that leaves it to what was measured."""

TRAINED, PACKAGED, RESIDUAL = "trained", "packaged", "residual"

NOTHING = "none"
"""Where there is too little to propose from."""

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


@dataclass(frozen=True)
class ProposalSource:
    """What makes the maps that masks are proposed from.

    Attributes:
        name: `TRAINED`, `PACKAGED`, `RESIDUAL`, or the parts of a detector that make the map, ``+`` between them.
        trained: checkpoint of the project's segmentation network, which also proposes for a product that has too few
            references for anything else; None when it has none.
        detector: checkpoint of the project's detectors; None when it has none.
    """

    name: str
    trained: Path | None = None
    detector: Path | None = None

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
