"""Which images a long command is through with, in a file beside its results: started again, it goes on from there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

JOURNAL = ".adclick-done.sqlite3"

_TABLE = (
    "CREATE TABLE IF NOT EXISTS done "
    "(image TEXT PRIMARY KEY, stem TEXT UNIQUE, judge TEXT, mark TEXT, files TEXT) WITHOUT ROWID"
)


class DoneImages:
    """What came of which image. Nothing of it is kept in memory.

    Args:
        folder: of the results, made when it is not there.
        judge: name of what judges the images; what another one said of them does not count.
    """

    def __init__(self, folder: Path, judge: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._judge = judge
        self._database = sqlite3.connect(folder / JOURNAL)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(_TABLE)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def has(self, image: str) -> bool:
        """Whether the image, as it is now, was judged by the same already."""
        found = self._database.execute("SELECT judge, mark FROM done WHERE image = ?", (image,)).fetchone()
        return bool(found == (self._judge, _mark(image)))

    def begin(self, image: str) -> str:
        """What the names of the image's results begin with; those of an earlier judge are deleted."""
        found = self._database.execute("SELECT stem, files FROM done WHERE image = ?", (image,)).fetchone()
        if found is None:
            return self._free(Path(image).stem)
        for name in json.loads(found[1]):
            (self._folder / name).unlink(missing_ok=True)
        return str(found[0])

    def add(self, image: str, stem: str, files: Sequence[str]) -> None:
        """The results of an image are written; `save` makes that last."""
        row = (image, stem, self._judge, _mark(image), json.dumps(files))
        self._database.execute("INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?, ?)", row)

    def save(self) -> None:
        """Make lasting what was added."""
        self._database.commit()

    def _free(self, stem: str) -> str:
        """The stem, or with a number behind it when another image has it."""
        number, name = 1, stem
        while self._database.execute("SELECT 1 FROM done WHERE stem = ?", (name,)).fetchone():
            number += 1
            name = f"{stem}-{number}"
        return name


def _mark(image: str) -> str:
    """What changes when a file is written anew; objects of a bucket are taken not to change under their name."""
    try:
        seen = Path(image).stat()
    except OSError:
        return ""
    return f"{seen.st_size} {seen.st_mtime_ns}"
