"""What was found, image by image, as CSV or as JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Protocol

COLUMNS = ("image", "defect", "type", "score", "regions", "unlike", "milliseconds", "note", "problem")


class Rows(Protocol):
    """Takes one image after the other."""

    def __call__(self, name: str, found: Mapping[str, Any], problem: str = "") -> None:
        """Write an image.

        Args:
            name: of the file.
            found: in it, as `adclick_runtime.detection_json.as_json` makes it; empty where it could not be read.
            problem: why it could not be, as a sentence.
        """


@contextmanager
def csv_rows(file: IO[str]) -> Iterator[Rows]:
    """A line an image under a line of `COLUMNS`: ``defect`` is 1 or 0, ``regions`` their number; both empty, as
    everything else, where there is a problem."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(name: str, found: Mapping[str, Any], problem: str = "") -> None:
        row = {**found, "image": name, "problem": problem}
        if found:
            row |= {"defect": int(found["defect"]), "regions": len(found["regions"])}
        writer.writerow([row.get(column, "") for column in COLUMNS])
        file.flush()

    yield write


@contextmanager
def json_rows(file: IO[str]) -> Iterator[Rows]:
    """A list with an object an image, each on a line of its own: ``image``, and what was found or the ``problem``."""
    between = "[\n"

    def write(name: str, found: Mapping[str, Any], problem: str = "") -> None:
        nonlocal between
        row = {"image": name, **found, **({"problem": problem} if problem else {})}
        file.write(between + json.dumps(row, ensure_ascii=False))
        file.flush()
        between = ",\n"

    yield write
    file.write("[]\n" if between == "[\n" else "\n]\n")


FORMATS = {"csv": csv_rows, "json": json_rows}
