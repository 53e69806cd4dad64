"""Results of the benchmark as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

SHOWN = (1, 2, 3, 5)
TARGETS = (0.80, 0.85, 0.90)
MOST = 20  # clicks that count for an image that never reaches the target


@dataclass(frozen=True)
class Row:
    """One image and method: IoU after each click."""

    category: str
    image: str
    method: str
    ious: list[float]

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it the same measurement."""
        return self.category, self.image, self.method

    def iou(self, clicks: int) -> float:
        """IoU after so many clicks, in [0, 1]."""
        return self.ious[min(clicks, len(self.ious)) - 1]

    def clicks_to(self, target: float) -> int:
        """NoC: the first click that reaches an IoU; 20 when none does."""
        return next((i for i, iou in enumerate(self.ious, 1) if iou >= target), MOST)

    def figures(self) -> list[float]:
        """IoU in percent after 1, 2, 3, 5 clicks, then NoC@80/85/90."""
        return [100 * self.iou(n) for n in SHOWN] + [float(self.clicks_to(t)) for t in TARGETS]


def table(rows: Iterable[Row]) -> str:
    """Markdown: per category and method, and the mean over categories of each method."""
    groups: dict[str, dict[str, list[list[float]]]] = {}
    for row in rows:
        groups.setdefault(row.method, {}).setdefault(row.category, []).append(row.figures())
    heads = [f"mIoU@{n}" for n in SHOWN] + [f"NoC@{100 * t:.0f}" for t in TARGETS]
    lines = ["| method | category | images | " + " | ".join(heads) + " |", "|---" * (3 + len(heads)) + "|"]
    for method, categories in groups.items():
        means = {name: np.mean(figures, axis=0) for name, figures in sorted(categories.items())}
        for name, mean in means.items():
            lines.append(_line(method, name, len(categories[name]), mean))
        images = sum(len(figures) for figures in categories.values())
        lines.append(_line(f"**{method}**", "**mean**", images, np.mean(list(means.values()), axis=0)))
    return "\n".join(lines)


def _line(method: str, category: str, images: int, figures: Iterable[float]) -> str:
    return f"| {method} | {category} | {images} | " + " | ".join(f"{f:.1f}" for f in figures) + " |"
