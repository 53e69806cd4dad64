"""What went wrong lately, in sentences for the status page."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

from adclick_backend.store.database import Database
from adclick_backend.store.disk import DiskError


@dataclass(frozen=True)
class Problem:
    """One sentence; `times` counts how often it came back, `last` is when (Unix seconds)."""

    project: str
    task_id: int | None
    sentence: str
    times: int
    last: float


class ProblemTable:
    """Table ``problems``. Project ``""`` holds what belongs to no project.

    What cannot be written down, because the disk is full say, is kept in memory, and shown, until it can.
    """

    KEPT = 50  # of each project; in memory, of all together

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._unwritten: dict[tuple[str, int | None, str], Problem] = {}

    def add(self, project: str, sentence: str, task_id: int | None = None) -> None:
        """Write the sentence down, or count it once more when it is already there for that task."""
        problem = Problem(project, task_id, sentence, 1, time.time())
        try:
            self._write(problem)
        except DiskError:
            key = (project, task_id, sentence)
            with self._lock:
                before = self._unwritten.pop(key, None)
                self._unwritten[key] = replace(problem, times=before.times + 1) if before else problem
                while len(self._unwritten) > self.KEPT:
                    del self._unwritten[next(iter(self._unwritten))]

    def write_down(self) -> None:
        """Write down what could not be before; raises DiskError when it still cannot."""
        with self._lock:
            waiting, self._unwritten = self._unwritten, {}
        try:
            for key in list(waiting):
                self._write(waiting[key])
                del waiting[key]
        finally:
            with self._lock:
                self._unwritten = {**waiting, **self._unwritten}

    def latest(self, project: str, limit: int = 10) -> list[Problem]:
        """The last problems of the project and of none, the newest first."""
        now = time.time()
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT project, task_id, sentence, times, last FROM problems WHERE project IN (?, '') "
                "ORDER BY MIN(last, ?) DESC, id DESC LIMIT ?",  # the clock may have been set back since
                (project, now, limit),
            ).fetchall()
        with self._lock:
            unwritten = [one for one in self._unwritten.values() if one.project in (project, "")]
        found = [*reversed(unwritten), *(Problem(**row) for row in rows)]
        return sorted(found, key=lambda one: min(one.last, now), reverse=True)[:limit]

    def clear(self, project: str) -> None:
        """Forget the problems of the project and of none."""
        with self._lock:
            for key in [key for key in self._unwritten if key[0] in (project, "")]:
                del self._unwritten[key]
        with self._database.write() as connection:
            connection.execute("DELETE FROM problems WHERE project IN (?, '')", (project,))

    def _write(self, problem: Problem) -> None:
        values = vars(problem)
        with self._database.write() as connection:
            found = connection.execute(
                "UPDATE problems SET times = times + :times, last = :last "
                "WHERE project = :project AND task_id IS :task_id AND sentence = :sentence",
                values,
            )
            if found.rowcount:
                return
            connection.execute(
                "INSERT INTO problems (project, task_id, sentence, times, last) "
                "VALUES (:project, :task_id, :sentence, :times, :last)",
                values,
            )
            connection.execute(
                "DELETE FROM problems WHERE project = :project AND id NOT IN "
                "(SELECT id FROM problems WHERE project = :project ORDER BY MIN(last, :now) DESC, id DESC LIMIT :kept)",
                {"project": problem.project, "kept": self.KEPT, "now": time.time()},
            )
