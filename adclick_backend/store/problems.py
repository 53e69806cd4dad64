"""What went wrong lately, in sentences for the status page."""

from __future__ import annotations

import time
from dataclasses import dataclass

from adclick_backend.store.database import Database


@dataclass(frozen=True)
class Problem:
    """One sentence; `times` counts how often it came back, `last` is when (Unix seconds)."""

    project: str
    task_id: int | None
    sentence: str
    times: int
    last: float


class ProblemTable:
    """Table ``problems``. Project ``""`` holds what belongs to no project."""

    KEPT = 50  # of each project

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, project: str, sentence: str, task_id: int | None = None) -> None:
        """Write the sentence down, or count it once more when it is already there for that task."""
        with self._database.write() as connection:
            found = connection.execute(
                "UPDATE problems SET times = times + 1, last = :now "
                "WHERE project = :project AND task_id IS :task AND sentence = :sentence",
                {"now": time.time(), "project": project, "task": task_id, "sentence": sentence},
            )
            if found.rowcount:
                return
            connection.execute(
                "INSERT INTO problems (project, task_id, sentence, last) VALUES (?, ?, ?, ?)",
                (project, task_id, sentence, time.time()),
            )
            connection.execute(
                "DELETE FROM problems WHERE project = :project AND id NOT IN "
                "(SELECT id FROM problems WHERE project = :project ORDER BY last DESC, id DESC LIMIT :kept)",
                {"project": project, "kept": self.KEPT},
            )

    def latest(self, project: str, limit: int = 10) -> list[Problem]:
        """The last problems of the project and of none, the newest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT project, task_id, sentence, times, last FROM problems WHERE project IN (?, '') "
                "ORDER BY last DESC, id DESC LIMIT ?",
                (project, limit),
            ).fetchall()
        return [Problem(**row) for row in rows]

    def clear(self, project: str) -> None:
        """Forget the problems of the project and of none."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM problems WHERE project IN (?, '')", (project,))
