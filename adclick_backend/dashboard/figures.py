"""The measures of a version in words, and two versions' side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from adclick_backend.store.version import CLICK_COUNTS, click_measure

# Names in manifests and comparisons -> what a person reads. All are shares in [0, 1].
WORDS = {
    "iou": "IoU",
    "ap": "Pixel AP",
    "pro": "PRO",
    "false_area": "Marked in normal images",
    "labelled": "IoU in labelled images",
    "drawn": "IoU of drawn defects",
    **{click_measure(n): f"IoU after {n} click{'s' if n > 1 else ''}" for n in CLICK_COUNTS},
}
MEANINGS = {
    "iou": "how far the mask and the label are the same: what both cover, of all that one of them covers",
    "ap": "how well pixels of defects are told from all others, wherever the mask is cut; 100 % is without an error",
    "pro": "how much of each defect is found while hardly any normal pixel is marked",
    "labelled": "the IoU in images that somebody labelled and that nothing was trained on",
    "drawn": "the IoU of defects that were drawn on good images, where no real one is labelled yet",
    "click_1": "the IoU of the mask of a defect that somebody clicked in the middle, once",
    "false_area": "how much of an image without a defect is marked all the same; 0 % is right",
}
SMALLER_IS_BETTER = frozenset({"false_area"})
EQUAL = 0.0005  # what disappears when a share is written with one decimal


@dataclass(frozen=True)
class Figure:
    """A measure of two versions; None where one does not have it."""

    name: str
    first: float | None
    second: float | None

    @property
    def words(self) -> str:
        """What is measured."""
        return words_of(self.name)

    @property
    def change(self) -> float | None:
        """How much larger it is in the second version."""
        if self.first is None or self.second is None:
            return None
        return self.second - self.first

    @property
    def mark(self) -> Literal["good", "bad", ""]:
        """Whether the second version is better; "" when they are equal or cannot be compared."""
        if self.change is None or abs(self.change) < EQUAL:
            return ""
        return "good" if (self.change > 0) != (self.name in SMALLER_IS_BETTER) else "bad"


def words_of(name: str) -> str:
    """A measure's name as a person reads it."""
    return WORDS.get(name, name.replace("_", " "))


def meaning_of(name: str) -> str:
    """What a measure says, for somebody who never heard of it; "" for one that explains itself."""
    return MEANINGS.get(name, "")


def measures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among a version's metrics."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }


def side_by_side(first: Mapping[str, Any], second: Mapping[str, Any]) -> Sequence[Figure]:
    """Every measure that one of two versions has, those of the second in front."""
    left, right = measures(first), measures(second)
    return [Figure(name, left.get(name), right.get(name)) for name in {**right, **left}]
