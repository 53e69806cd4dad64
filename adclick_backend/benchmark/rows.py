"""Results of the benchmark, one row an image, method and setting."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from adclick_backend.benchmark.protocol import SHOWN, TARGETS
from model.metrics.masks import MOST_CLICKS, clicks_to


class Setting(NamedTuple):
    """How an image is measured: by which method, with how many references (None: it knows none), how jittered."""

    method: str
    references: int | None
    jitter: float  # percent of the longer side


@dataclass(frozen=True)
class Row:
    """One image in one setting: IoU after each click, and the method's own score of each mask.

    Attributes:
        category: set and product.
        image: path of the image from the set's folder on.
        setting: method, references that were there, jitter.
        version: of the weights; "" for methods without versions.
        limit: how many clicks were allowed.
        ious: IoU in [0, 1] after each click.
        scores: expected IoU in [0, 1] after each click; may be empty.
        number_format: in which the weights computed; "" for methods without, and where an earlier release did not say.
    """

    category: str
    image: str
    setting: Setting
    version: str
    limit: int
    ious: list[float]
    scores: list[float] = field(default_factory=list)
    number_format: str = ""

    @property
    def key(self) -> tuple[str, str, Setting]:
        """What makes it the same measurement."""
        return self.category, self.image, self.setting

    @property
    def by(self) -> tuple[str, str]:
        """The weights and the number format."""
        return self.version, self.number_format

    @property
    def file(self) -> str:
        """Name of the file with what was too large for a row."""
        return hashlib.sha256(repr(self.key).encode()).hexdigest()[:24]

    def iou(self, clicks: int) -> float:
        """IoU after so many clicks, in [0, 1]; NaN when so many were not allowed."""
        return self.ious[min(clicks, len(self.ious)) - 1] if clicks <= self.limit else math.nan

    def clicks_to(self, target: float) -> float:
        """NoC for an IoU; NaN when it was not reached and fewer than 20 clicks were allowed."""
        found = clicks_to(self.ious, target)
        return math.nan if self.limit < MOST_CLICKS and max(self.ious) < target else float(found)

    def figures(self) -> list[float]:
        """IoU in percent after each of ``SHOWN`` clicks, then NoC of each of ``TARGETS``."""
        return [100 * self.iou(n) for n in SHOWN] + [self.clicks_to(t) for t in TARGETS]


class Results:
    """The rows of a folder, appended to ``images.jsonl`` as they come; the newest row of a key counts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "images.jsonl"
        self._rows: dict[tuple[str, str, Setting], Row] = {}
        if self._file.exists():
            for line in self._file.read_text("utf-8").splitlines():
                if row := _parse(line):
                    self._rows[row.key] = row

    def rows(self) -> list[Row]:
        """All rows."""
        return list(self._rows.values())

    def has(self, key: tuple[str, str, Setting], version: str, number_format: str, limit: int) -> bool:
        """Whether this was measured with these weights, in this number format, and with at least so many clicks."""
        row = self._rows.get(key)
        return row is not None and row.by == (version, number_format) and row.limit >= limit

    def add(self, rows: Iterable[Row]) -> None:
        """Keep new rows, on disk at once."""
        with self._file.open("a", encoding="utf-8") as file:
            for row in rows:
                self._rows[row.key] = row
                file.write(json.dumps(asdict(row)) + "\n")


def _parse(line: str) -> Row | None:
    """A row; None for the half line that a killed run leaves behind."""
    try:
        fields = json.loads(line)
        return Row(**{**fields, "setting": Setting(*fields["setting"])})
    except (ValueError, TypeError, KeyError):
        return None
