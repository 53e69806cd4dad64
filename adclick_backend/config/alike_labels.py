"""Key point labels that ask for every place that is alike: ``scratch (all)`` and ``scratch (each)``."""

from __future__ import annotations

from typing import Literal, NamedTuple

Regions = Literal["all", "each"]
"""Whether the places become one region together, or a region each."""

ENDINGS: dict[Regions, str] = {"all": " (all)", "each": " (each)"}


class AlikeLabel(NamedTuple):
    """A label that asks for all that is alike.

    Attributes:
        painted: the label that the masks get, without the ending.
        regions: one region, or one for each part.
    """

    painted: str
    regions: Regions


def read_alike_label(label: str) -> AlikeLabel | None:
    """What a key point label asks for; None when it asks for one mask. Case does not matter.

    A brush label of the very same name is an ordinary one; whoever asks knows the brush labels.
    """
    stripped = label.strip()
    for regions, ending in ENDINGS.items():
        painted = stripped[: -len(ending)].rstrip()
        if stripped.lower().endswith(ending) and painted:
            return AlikeLabel(painted, regions)
    return None


def painted_label(label: str) -> str:
    """The label without the ending that asks for all that is alike."""
    found = read_alike_label(label)
    return label if found is None else found.painted
