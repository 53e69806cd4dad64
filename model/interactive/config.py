"""How clicks are answered: every number that can be chosen without training anything, in one place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from model.checkpoint.ranges import COUNT, NONE_OR_MORE, POSITIVE, check
from model.interactive.continuity import CONTINUITY, ContinuityConfig
from model.interactive.mask import MASK, MaskConfig
from model.interactive.threshold_selection import THRESHOLD, ThresholdConfig
from model.interactive.zoom import ZOOM, ZoomConfig
from model.matching.nearest import MATCHING, MatchingConfig


@dataclass(frozen=True)
class ClickConfig:
    """The settings of a :class:`model.interactive.predictor.Predictor`; another way of looking with the same weights.

    Of a few references all may show the product in another pose than the image; among more, one that fits is found.
    """

    nearest_references: int = (
        8  # K of Eq. 3: how many an image is matched with, the most similar ones of its bank
    )
    few_references: int = 2  # up to so many are left out when they do not fit
    largest_mismatch_ratio: float = 3.0  # they explain the image at most so much worse than it does itself
    most_clicks_seen: int = 24  # of each sign, the newest; as many as training ever drew is far below
    matching: MatchingConfig = MATCHING
    zoom: ZoomConfig = ZOOM
    threshold: ThresholdConfig = THRESHOLD
    continuity: ContinuityConfig | None = CONTINUITY  # None: a click may change whatever the network likes
    mask: MaskConfig = MASK

    def __post_init__(self) -> None:
        check(
            self,
            {
                "nearest_references": COUNT,
                "few_references": NONE_OR_MORE,
                "largest_mismatch_ratio": POSITIVE,
                "most_clicks_seen": COUNT,
            },
        )

    @property
    def fingerprint(self) -> str:
        """Changes when any setting does: what one way of looking left on disk is nothing for another."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]
