"""What was heard of annotations: the latest word on each, and those still to be read from Label Studio."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass

from adclick_backend.store.database import Database


@dataclass(frozen=True)
class AnnotationCheck:
    """An annotation that must be read from Label Studio before what a webhook said about it is believed."""

    project: str
    annotation_id: int
    attempts: int
    asked: float  # Unix seconds


class AnnotationTable:
    """Tables ``annotation_revisions``, ``deleted_tasks`` and ``annotation_checks``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_tasks(self, project: str, tasks: Iterable[int]) -> list[int]:
        """The annotations of these tasks that are known and not deleted."""
        with self._database.read() as connection:
            rows = [
                row
                for task in tasks
                for row in connection.execute(
                    "SELECT annotation_id FROM annotation_revisions "
                    "WHERE project = ? AND task_id = ? AND NOT deleted",
                    (project, task),
                )
            ]
        return [int(row["annotation_id"]) for row in rows]

    def tasks_of(self, project: str, annotations: Iterable[int]) -> list[int]:
        """The tasks of these annotations, as far as they are known."""
        with self._database.read() as connection:
            rows = [
                connection.execute(
                    "SELECT task_id FROM annotation_revisions WHERE project = ? AND annotation_id = ?",
                    (project, annotation),
                ).fetchone()
                for annotation in annotations
            ]
        return [int(row["task_id"]) for row in rows if row and row["task_id"] is not None]

    # --- annotations to be read before they are believed

    def ask_check(self, project: str, annotations: Iterable[int]) -> None:
        """Put annotations on the list of those to be read from Label Studio."""
        with self._database.write() as connection:
            connection.executemany(
                "INSERT INTO annotation_checks (project, annotation_id, asked) VALUES (?, ?, ?) "
                "ON CONFLICT (project, annotation_id) "
                "DO UPDATE SET attempts = 0, due = 0, asked = excluded.asked",
                [(project, annotation, time.time()) for annotation in annotations],
            )

    def next_check(self) -> AnnotationCheck | None:
        """The annotation to read now."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT project, annotation_id, attempts, asked FROM annotation_checks "
                "WHERE due <= ? ORDER BY due LIMIT 1",
                (time.time(),),
            ).fetchone()
        return AnnotationCheck(**row) if row else None

    def end_check(self, check: AnnotationCheck, *, retry_at: float | None = None) -> None:
        """The annotation was read, or will be tried again at `retry_at` (Unix seconds).

        Nothing happens when the check was asked for once more meanwhile: then it is still to do.
        """
        key = (check.project, check.annotation_id, check.asked)
        with self._database.write() as connection:
            if retry_at is None:
                connection.execute(
                    "DELETE FROM annotation_checks WHERE project = ? AND annotation_id = ? AND asked = ?", key
                )
            else:
                connection.execute(
                    "UPDATE annotation_checks SET due = ?, attempts = attempts + 1 "
                    "WHERE project = ? AND annotation_id = ? AND asked = ?",
                    (retry_at, *key),
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
    if gone and (asked is None or gone["heard"] >= asked):
        return False
    known = connection.execute(
        "SELECT changed_at, deleted, heard FROM annotation_revisions WHERE project = ? AND annotation_id = ?",
        (project, annotation_id),
    ).fetchone()
    outranked = known and (known["deleted"] or known["changed_at"] > changed_at)
    if outranked and (asked is None or known["heard"] >= asked):
        return False
    if gone:
        connection.execute("DELETE FROM deleted_tasks WHERE project = ? AND task_id = ?", (project, task_id))
    connection.execute(
        "INSERT INTO annotation_revisions (project, annotation_id, changed_at, task_id, heard) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (project, annotation_id) DO UPDATE SET changed_at = excluded.changed_at, "
        "task_id = excluded.task_id, heard = excluded.heard, deleted = 0",
        (project, annotation_id, changed_at, task_id, time.time() if asked is None else asked),
    )
    return True


def mark_deleted(connection: sqlite3.Connection, project: str, annotation_id: int) -> None:
    """No message about the annotation is news from now on; inside a `Database.write` block."""
    now = time.time()
    connection.execute(
        "INSERT INTO annotation_revisions (project, annotation_id, changed_at, deleted, heard) VALUES (?, ?, ?, 1, ?) "
        "ON CONFLICT (project, annotation_id) DO UPDATE SET deleted = 1, heard = excluded.heard",
        (project, annotation_id, now, now),
    )


def mark_tasks_deleted(connection: sqlite3.Connection, tasks: Iterable[tuple[str, int]]) -> None:
    """No message about annotations of these (project, task) is news; inside a `Database.write` block."""
    connection.executemany(
        "INSERT INTO deleted_tasks (project, task_id, heard) VALUES (?, ?, ?) "
        "ON CONFLICT (project, task_id) DO UPDATE SET heard = excluded.heard",
        [(project, task, time.time()) for project, task in tasks],
    )
