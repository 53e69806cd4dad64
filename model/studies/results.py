"""Results of a study as JSON lines: what is there is not measured again, whatever a crash left."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.datasets.mvtec import Category


def read(results: Path) -> list[dict[str, Any]]:
    """The results of a file that :func:`append` wrote; a line that a crash left incomplete is skipped."""
    found = []
    for line in results.read_text().splitlines() if results.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def append(results: Path, row: Mapping[str, Any]) -> None:
    """Write a result as a line of its own, also behind one that a crash left incomplete."""
    with results.open("ab+") as file:
        file.seek(max(0, file.seek(0, 2) - 1))
        broken = file.read() not in (b"", b"\n")
        file.write(f"{chr(10) * broken}{json.dumps(row)}\n".encode())


def missing(
    there: Iterable[Mapping[str, Any]], categories: Sequence[Category], splits: int, names: Sequence[str]
) -> Iterator[tuple[int, Category, list[str]]]:
    """The settings that some results lack: (number of the division, product, names), division by division."""
    done = {(row["product"], row["split"], row["setting"]) for row in there}
    for number in range(splits):
        for category in categories:
            if wanted := [name for name in names if (category.name, number, name) not in done]:
                yield number, category, wanted
