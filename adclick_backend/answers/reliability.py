"""How far what is proposed for a product can be trusted, from all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adclick_backend.answers.held_back import HeldBackImages
from adclick_backend.answers.worth import CORRECTED, NOTHING_SEEN, HeldBack, SeenPart, needed_score
from adclick_backend.store import JudgedPart, Store
from adclick_backend.store.proposal_source import ProposalSource

WORTH = {"kept": 1.0, "corrected": CORRECTED, "deleted": 0.0}
"""What became of a part -> what it was worth."""


@dataclass(frozen=True)
class Reliability:
    """What is known of the proposals of one version for one product.

    Attributes:
        held_back: what was found in images of which the truth is known; None until that was measured.
        judged: what people did with the last parts that were proposed, the latest last.
        learned: whether that version was trained on the project.
    """

    held_back: HeldBack | None
    judged: Sequence[JudgedPart]
    learned: bool = False

    @property
    def needed(self) -> float:
        """The score from which on a part is worth proposing, in [0, 1]; infinite when none is."""
        judged = [SeenPart(part.score, WORTH[part.outcome]) for part in self.judged]
        return needed_score(self.held_back or NOTHING_SEEN, judged, learned=self.learned)


class Reliabilities:
    """Knows it of every product of every project; costs two looks into the database.

    Args:
        store: has what people did.
        held_back: has what was measured.
    """

    def __init__(self, store: Store, held_back: HeldBackImages) -> None:
        self._store, self._held_back = store, held_back

    def of(
        self, project: str, product: str, version: str, source: ProposalSource | None = None
    ) -> Reliability:
        """What is known of a product; ``version``: name of the one that proposes, ``source``: what from."""
        judged = self._store.proposed_parts.judged(project, product, version)
        learned = source is not None and source.learned
        return Reliability(self._held_back.of(project, product, version), judged, learned)
