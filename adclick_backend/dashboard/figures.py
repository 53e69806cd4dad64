"""The measures of a version in words, and two versions' side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Names in the manifests of versions -> what a person reads; all are shares in [0, 1], the larger the better.
WORDS = {
    "pixel_ap": "Pixel AP",
    "pro": "PRO",
    "iou": "IoU",
    "miou": "mIoU",
    "pixel_auroc": "Pixel AUROC",
    "image_auroc": "Image AUROC",
}


@dataclass(frozen=True)
class Figure:
    """A measure of two versions; None where one does not have it."""

    words: str
    first: float | None
    second: float | None

    @property
    def change(self) -> float | None:
        """How much larger it is in the second version."""
        if self.first is None or self.second is None:
            return None
        return self.second - self.first


def measures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers in a version's metrics, nested ones as ``"outer: inner"``, in words where there are any."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        words = WORDS.get(name, name.replace("_", " "))
        if isinstance(value, Mapping):
            found |= {f"{words}: {inner}": number for inner, number in measures(value).items()}
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found[words] = float(value)
    return found


def side_by_side(first: Mapping[str, Any], second: Mapping[str, Any]) -> Sequence[Figure]:
    """Every measure that one of two versions has, those of the first in front."""
    left, right = measures(first), measures(second)
    return [Figure(name, left.get(name), right.get(name)) for name in {**left, **right}]
