"""What went wrong lately, in sentences for the status page."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import ColumnElement, delete, insert, select, update

from adclick_backend.store.database import Database
from adclick_backend.store.disk import DiskError
from adclick_backend.store.statements import smaller
from adclick_backend.store.tables import problems


@dataclass(frozen=True)
class Problem:
    """One sentence; `times` counts how often it came back, `last` is when (Unix seconds)."""

    project: str
    task_id: int | None
    sentence: str
    times: int
    last: float


_COLUMNS = tuple(column.name for column in fields(Problem))


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
        problem = Problem(project, task_id, sentence, 1, self._database.now())
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
        now = self._database.now()
        with self._database.read() as connection:
            rows = (
                connection.execute(
                    select(*(problems.c[name] for name in _COLUMNS))
                    .where(problems.c.project.in_((project, "")))
                    .order_by(*_latest_first(now))
                    .limit(limit)
                )
                .mappings()
                .all()
            )
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
            connection.execute(delete(problems).where(problems.c.project.in_((project, ""))))

    def _write(self, problem: Problem) -> None:
        of_project = problems.c.project == problem.project
        with self._database.write() as connection:
            found = connection.execute(
                update(problems)
                .where(
                    of_project,
                    problems.c.task_id.is_not_distinct_from(problem.task_id),
                    problems.c.sentence == problem.sentence,
                )
                .values(times=problems.c.times + problem.times, last=problem.last)
            )
            if found.rowcount:
                return
            connection.execute(insert(problems).values(**vars(problem)))
            kept = (
                select(problems.c.id)
                .where(of_project)
                .order_by(*_latest_first(self._database.now()))
                .limit(self.KEPT)
            )
            connection.execute(delete(problems).where(of_project, problems.c.id.not_in(kept)))


def _latest_first(now: float) -> tuple[ColumnElement[Any], ...]:
    return smaller(
        problems.c.last, now
    ).desc(), problems.c.id.desc()  # the clock may have been set back since
