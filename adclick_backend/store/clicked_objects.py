"""Where the objects that are being clicked are kept, for the short time that they are remembered."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from adclick_backend.store.scratch import ScratchFile

MAX_OBJECTS = 64  # of one task

_LONGEST_UPTIME_S = 1e9  # 31 years
SLACK_S = 5.0  # between reading the clock and writing, of another worker

_VERSION = 4  # raised with every change of the table, or of what a row means
_SCHEMA = """
CREATE TABLE clicked_objects (
    project TEXT NOT NULL, task TEXT NOT NULL, region_id TEXT NOT NULL,
    state TEXT NOT NULL, bbox TEXT NOT NULL, touched REAL NOT NULL, answered REAL,
    PRIMARY KEY (project, task, region_id)
)
"""


class ClickedRow(NamedTuple):
    """One object of a task; what `state` and `bbox` say is the business of whoever wrote them."""

    region_id: str
    state: str
    bbox: str  # of its answer, and what that was made with
    answered: float | None = None  # seconds of the clock; None while its newest click has no answer


Decide = Callable[[list[ClickedRow], float], ClickedRow | None]
"""From the objects of a task, the one clicked last first, and the time, to the one that is clicked now."""


class ClickedObjects(Protocol):
    """Objects by project and task. One is forgotten some time after its last click, and the oldest of many are."""

    def change(self, project: str, task: str, decide: Decide, now: float | None = None) -> None:
        """Let `decide` say which object is clicked now, and keep it; nobody else changes one meanwhile.

        Args:
            project: project id.
            task: what the clicks are remembered under.
            decide: answers None where nothing is to be kept.
            now: seconds of the clock; None: as it says.
        """
        ...

    def answer(self, project: str, task: str, region_id: str, bbox: str) -> None:
        """An object is answered now."""
        ...

    def since_last(self) -> float:
        """Seconds since a click came to this machine last; infinite when that is long ago."""
        ...

    def forget(self, project: str, task: str | None = None) -> None:
        """Forget every object of a task, or of a project."""
        ...


class ClickedInFile:
    """Kept in a SQLite file, so that all workers of a server share it.

    Args:
        path: of the file.
        ttl_s: seconds after which an object that is no longer clicked is forgotten.
        clock: seconds since the machine was started, the same for all workers; whatever the wall clock is set to.
    """

    def __init__(self, path: Path, *, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = ScratchFile(path, _VERSION, _SCHEMA)
        self._ttl_s = ttl_s
        self._clock = clock
        self._file.write(self._take_over)  # a folder that cannot be used is said at the start, not at a click

    def change(self, project: str, task: str, decide: Decide, now: float | None = None) -> None:
        """See `ClickedObjects.change`."""
        moment = self._clock() if now is None else now
        self._file.write(lambda db: self._change(db, project, task, decide, moment))

    def answer(self, project: str, task: str, region_id: str, bbox: str) -> None:
        """See `ClickedObjects.answer`."""
        values = bbox, self._clock(), project, task, region_id
        self._file.write(
            lambda db: db.execute(
                "UPDATE clicked_objects SET bbox = ?, answered = ? "
                "WHERE project = ? AND task = ? AND region_id = ?",
                values,
            )
        )

    def since_last(self) -> float:
        """See `ClickedObjects.since_last`."""
        newest = self._file.read(
            lambda db: db.execute("SELECT MAX(touched) FROM clicked_objects").fetchone()[0]
        )
        return math.inf if newest is None else abs(self._clock() - float(newest))

    def forget(self, project: str, task: str | None = None) -> None:
        """See `ClickedObjects.forget`."""
        where, values = (
            ("project = ?", [project]) if task is None else ("project = ? AND task = ?", [project, task])
        )
        self._file.write(lambda db: db.execute(f"DELETE FROM clicked_objects WHERE {where}", values))  # noqa: S608

    def _take_over(self, db: sqlite3.Connection) -> None:
        """Rows of an earlier release, whose times are Unix seconds, get times of this clock."""
        ahead = time.time() - self._clock()
        db.execute(
            "UPDATE clicked_objects SET touched = touched - ?, answered = answered - ? WHERE touched > ?",
            (ahead, ahead, _LONGEST_UPTIME_S),
        )

    def _change(self, db: sqlite3.Connection, project: str, task: str, decide: Decide, now: float) -> None:
        # What was touched later than now was so before the machine was started again.
        db.execute(
            "DELETE FROM clicked_objects WHERE touched NOT BETWEEN ? AND ?",
            (now - self._ttl_s, now + SLACK_S),
        )
        rows = db.execute(
            # Saving replaces the row and thereby gives it the highest rowid; clocks of workers may differ.
            "SELECT region_id, state, bbox, answered FROM clicked_objects WHERE project = ? AND task = ? "
            "ORDER BY rowid DESC",
            (project, task),
        )
        row = decide([ClickedRow(*values) for values in rows.fetchall()], now)
        if row is None:
            return
        db.execute(
            "REPLACE INTO clicked_objects (project, task, region_id, state, bbox, touched) VALUES (?, ?, ?, ?, ?, ?)",
            (project, task, row.region_id, row.state, row.bbox, now),
        )
        db.execute(
            "DELETE FROM clicked_objects WHERE project = ? AND task = ? AND rowid NOT IN "
            "(SELECT rowid FROM clicked_objects WHERE project = ? AND task = ? ORDER BY rowid DESC LIMIT ?)",
            (project, task, project, task, MAX_OBJECTS),
        )
