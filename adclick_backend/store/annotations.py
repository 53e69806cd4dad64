"""What was heard of annotations: the latest word on each, and the tasks still to be read from Label Studio."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from adclick_backend.store.database import FARTHEST_S, Database

PROJECT_ITSELF = 0
"""In place of a task: only the project is to be read."""


@dataclass(frozen=True)
class TaskCheck:
    """A task that a message named, and that must be read from Label Studio before anything about it changes."""

    project: str
    task_id: int  # or `PROJECT_ITSELF`
    attempts: int
    asked: float  # Unix seconds


class AnnotationTable:
    """Tables ``annotation_revisions``, ``deleted_tasks`` and ``task_checks``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tasks_of(self, project: str, annotations: Iterable[int]) -> list[int]:
        """The tasks of these annotations, as far as they are known, each once."""
        with self._database.read() as connection:
            return tasks_of(connection, project, annotations)

    def known_tasks(self, project: str, tasks: Iterable[int]) -> list[int]:
        """Those of these tasks of which an annotation was ever heard."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT task_id FROM annotation_revisions WHERE project = :project AND task_id IN "
                "(SELECT value FROM json_each(:tasks)) UNION SELECT task_id FROM labelled_tasks "
                "WHERE project = :project AND task_id IN (SELECT value FROM json_each(:tasks)) ORDER BY task_id",
                {"project": project, "tasks": json.dumps(list(tasks))},
            ).fetchall()
        return [int(row["task_id"]) for row in rows]

    def are_known(self, project: str, annotations: Iterable[int]) -> bool:
        """Whether something was heard of each of these annotations."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT 1 FROM json_each(?) WHERE value NOT IN "
                "(SELECT annotation_id FROM annotation_revisions WHERE project = ?) LIMIT 1",
                (json.dumps(list(annotations)), project),
            ).fetchone()
        return row is None

    def last_change(self, project: str, annotation: int, task: int) -> float | None:
        """When the annotation, or else another one of its task, was last changed or deleted, Unix seconds.

        None when nothing was ever heard of either. Of a deleted one it is infinite: no message about it is news.
        """
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT changed_at, deleted FROM annotation_revisions WHERE project = :project "
                "AND (annotation_id = :annotation OR (task_id = :task AND NOT deleted)) "
                "ORDER BY annotation_id != :annotation LIMIT 1",
                {"project": project, "annotation": annotation, "task": task},
            ).fetchone()
            gone = connection.execute(
                "SELECT 1 FROM deleted_tasks WHERE project = ? AND task_id = ?", (project, task)
            ).fetchone()
        if gone or (row and row["deleted"]):
            return float("inf")
        return float(row["changed_at"]) if row else None

    def authors(self, project: str) -> dict[int, int]:
        """Annotation -> number of the user of Label Studio who made it, as far as that is known."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT annotation_id, author FROM annotation_revisions WHERE project = ? AND author IS NOT NULL",
                (project,),
            ).fetchall()
        return {int(row["annotation_id"]): int(row["author"]) for row in rows}

    def note_authors(self, project: str, authors: Mapping[int, int]) -> None:
        """Write down which user of Label Studio made each of these annotations, as far as anything was heard of them.

        Nothing is written when that is known already.
        """
        named = json.dumps([[annotation, author] for annotation, author in authors.items()])
        news = (
            "project = ? AND annotation_id = json_extract(value, '$[0]') "
            "AND author IS NOT json_extract(value, '$[1]')"
        )
        with self._database.read() as connection:
            known = connection.execute(
                f"SELECT 1 FROM json_each(?), annotation_revisions WHERE {news} LIMIT 1",  # noqa: S608  (a constant)
                (named, project),
            ).fetchone()
        if known is None:
            return
        with self._database.write() as connection:
            connection.executemany(
                "UPDATE annotation_revisions SET author = ? WHERE project = ? AND annotation_id = ?",
                [(author, project, annotation) for annotation, author in authors.items()],
            )

    # --- tasks to be read before what a message said of them is believed

    def ask_checks(self, project: str, tasks: Iterable[int], most: int) -> bool:
        """Put tasks on the list of those to be read from Label Studio.

        False, and nothing of the project is on the list, when there would be more than `most`: then reading the whole
        project is less work.
        """
        with self._database.write() as connection:
            connection.executemany(
                "INSERT INTO task_checks (project, task_id, asked) VALUES (?, ?, ?) "
                "ON CONFLICT (project, task_id) DO UPDATE SET attempts = 0, due = 0, asked = excluded.asked",
                [(project, task, time.time()) for task in tasks],
            )
            number = connection.execute(
                "SELECT COUNT(*) FROM task_checks WHERE project = ?", (project,)
            ).fetchone()[0]
            if number > most:
                connection.execute("DELETE FROM task_checks WHERE project = ?", (project,))
        return bool(number <= most)

    def next_checks(self) -> list[TaskCheck]:
        """The tasks of one project to be read now; none when nothing is due."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT project, task_id, attempts, asked FROM task_checks WHERE due NOT BETWEEN :now AND :farthest "
                "AND project = (SELECT project FROM task_checks WHERE due NOT BETWEEN :now AND :farthest "
                "ORDER BY max(due, asked) LIMIT 1) ORDER BY task_id",
                {"now": time.time(), "farthest": time.time() + FARTHEST_S},
            ).fetchall()
        return [TaskCheck(**row) for row in rows]

    def end_checks(self, checks: Iterable[TaskCheck], *, retry_at: float | None = None) -> None:
        """The tasks were read, or will be tried again at `retry_at` (Unix seconds).

        What was asked for once more meanwhile is still to do.
        """
        keys = [(check.project, check.task_id, check.asked) for check in checks]
        with self._database.write() as connection:
            if retry_at is None:
                connection.executemany(
                    "DELETE FROM task_checks WHERE project = ? AND task_id = ? AND asked = ?", keys
                )
            else:
                connection.executemany(
                    "UPDATE task_checks SET due = ?, attempts = attempts + 1 "
                    "WHERE project = ? AND task_id = ? AND asked = ?",
                    [(retry_at, *key) for key in keys],
                )


def is_news(
    connection: sqlite3.Connection,
    project: str,
    annotation_id: int,
    task_id: int,
    changed_at: float,
    asked: float | None = None,
) -> bool:
    """Whether this is the latest word about an annotation; if so, remember that it was said.

    Called inside a `Database.write` block. What was said last may be said again: it is as new as it was.

    Args:
        connection: inside the transaction.
        project: the project.
        annotation_id: the annotation.
        task_id: its task.
        changed_at: when it was changed, Unix seconds by Label Studio's clock.
        asked: when Label Studio was asked, Unix seconds, if its API said it: that outranks every message heard before,
            deletions included. None for a message, which may be late.
    """
    gone = connection.execute(
        "SELECT heard FROM deleted_tasks WHERE project = ? AND task_id = ?", (project, task_id)
    ).fetchone()
    now = (
        time.time()
    )  # what was heard later than now was heard before the clock was set back, and so before `asked`
    if gone and (asked is None or asked <= gone["heard"] <= now):
        return False
    known = connection.execute(
        "SELECT changed_at, deleted, heard FROM annotation_revisions WHERE project = ? AND annotation_id = ?",
        (project, annotation_id),
    ).fetchone()
    outranked = known and (known["deleted"] or known["changed_at"] > changed_at)
    if outranked and (asked is None or asked <= known["heard"] <= now):
        return False
    if gone:
        connection.execute("DELETE FROM deleted_tasks WHERE project = ? AND task_id = ?", (project, task_id))
    connection.execute(
        "INSERT INTO annotation_revisions (project, annotation_id, changed_at, task_id, heard) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (project, annotation_id) DO UPDATE SET changed_at = excluded.changed_at, "
        "task_id = excluded.task_id, heard = excluded.heard, deleted = 0",
        (project, annotation_id, changed_at, task_id, now if asked is None else asked),
    )
    return True


def mark_deleted(connection: sqlite3.Connection, project: str, annotations: Iterable[int]) -> None:
    """No message about these annotations is news from now on; inside a `Database.write` block."""
    now = time.time()
    connection.executemany(
        "INSERT INTO annotation_revisions (project, annotation_id, changed_at, deleted, heard) VALUES (?, ?, ?, 1, ?) "
        "ON CONFLICT (project, annotation_id) DO UPDATE SET deleted = 1, heard = excluded.heard",
        [(project, annotation, now, now) for annotation in annotations],
    )


def tasks_of(connection: sqlite3.Connection, project: str, annotations: Iterable[int]) -> list[int]:
    """The tasks of these annotations, as far as they are known, each once."""
    rows = connection.execute(
        "SELECT DISTINCT task_id FROM annotation_revisions WHERE project = ? AND task_id IS NOT NULL "
        "AND annotation_id IN (SELECT value FROM json_each(?)) ORDER BY task_id",
        (project, json.dumps(list(annotations))),
    ).fetchall()
    return [int(row["task_id"]) for row in rows]


def mark_tasks_deleted(connection: sqlite3.Connection, tasks: Iterable[tuple[str, int]]) -> None:
    """No message about annotations of these (project, task) is news; inside a `Database.write` block."""
    connection.executemany(
        "INSERT INTO deleted_tasks (project, task_id, heard) VALUES (?, ?, ?) "
        "ON CONFLICT (project, task_id) DO UPDATE SET heard = excluded.heard",
        [(project, task, time.time()) for project, task in tasks],
    )
