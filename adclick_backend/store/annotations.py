"""What annotations say about references: the latest word on each, and those still to be read."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from adclick_backend.store.database import Database
from adclick_backend.store.references import insert_reference


@dataclass(frozen=True)
class AnnotationCheck:
    """An annotation that must be read from Label Studio before what a webhook said about it is believed."""

    project: str
    annotation_id: int
    attempts: int
    asked: float  # Unix seconds


class AnnotationTable:
    """Tables ``annotation_revisions``, ``deleted_tasks`` and ``annotation_checks``.

    An annotation makes at most one row of ``reference_images``.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        project: str,
        annotation_id: int,
        *,
        changed_at: float,
        task_id: int,
        image: Mapping[str, str] | None,
    ) -> bool:
        """Say what an annotation makes of its image; answer whether anything changed.

        Args:
            project: the project.
            annotation_id: the annotation.
            changed_at: when the annotation was changed (Unix seconds). What is older than what is known is
                ignored, so webhooks may arrive twice and in any order.
            task_id: the task of the annotation.
            image: ``url``, ``product`` and ``name`` of the image when it is a reference; None when it is not.
        """
        with self._database.write() as connection:
            if not is_news(connection, project, annotation_id, task_id, changed_at):
                return False
            known = connection.execute(
                "SELECT * FROM reference_images WHERE project = ? AND annotation_id = ?",
                (project, annotation_id),
            ).fetchone()
            if image is None:
                if known:
                    connection.execute("DELETE FROM reference_images WHERE id = ?", (known["id"],))
                return known is not None
            if known and (known["url"], known["product"]) == (image["url"], image["product"]):
                return False
            if known:
                connection.execute("DELETE FROM reference_images WHERE id = ?", (known["id"],))
            insert_reference(
                connection,
                project=project,
                source="annotation",
                task_id=task_id,
                annotation_id=annotation_id,
                **image,
            )
            return True

    def delete(self, project: str, annotation_id: int) -> bool:
        """The annotation is gone for good: nothing that arrives late brings it back."""
        with self._database.write() as connection:
            mark_deleted(connection, project, annotation_id)
            connection.execute(
                "DELETE FROM annotation_checks WHERE project = ? AND annotation_id = ?",
                (project, annotation_id),
            )
            gone = connection.execute(
                "DELETE FROM reference_images WHERE project = ? AND annotation_id = ?",
                (project, annotation_id),
            )
        return gone.rowcount > 0

    def delete_tasks(self, project: str, tasks: Iterable[int]) -> bool:
        """The tasks are gone for good, and with them the references that their annotations made."""
        keys = [(project, task) for task in tasks]
        with self._database.write() as connection:
            mark_tasks_deleted(connection, keys)
            gone = connection.executemany(
                "DELETE FROM reference_images WHERE project = ? AND task_id = ?", keys
            )
        return gone.rowcount > 0

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
    connection: sqlite3.Connection, project: str, annotation_id: int, task_id: int, changed_at: float
) -> bool:
    """Whether this is the latest word about an annotation; if so, remember that it was said.

    Called inside a `Database.write` block. What was said last may be said again: it is as new as it was.
    """
    if connection.execute(
        "SELECT 1 FROM deleted_tasks WHERE project = ? AND task_id = ?", (project, task_id)
    ).fetchone():
        return False
    known = connection.execute(
        "SELECT changed_at, deleted FROM annotation_revisions WHERE project = ? AND annotation_id = ?",
        (project, annotation_id),
    ).fetchone()
    if known and (known["deleted"] or known["changed_at"] > changed_at):
        return False
    connection.execute(
        "INSERT INTO annotation_revisions (project, annotation_id, changed_at, task_id) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (project, annotation_id) DO UPDATE SET changed_at = excluded.changed_at, "
        "task_id = excluded.task_id",
        (project, annotation_id, changed_at, task_id),
    )
    return True


def mark_deleted(connection: sqlite3.Connection, project: str, annotation_id: int) -> None:
    """Nothing that is said of the annotation from now on is news; inside a `Database.write` block."""
    connection.execute(
        "INSERT INTO annotation_revisions (project, annotation_id, changed_at, deleted) VALUES (?, ?, ?, 1) "
        "ON CONFLICT (project, annotation_id) DO UPDATE SET deleted = 1",
        (project, annotation_id, time.time()),
    )


def mark_tasks_deleted(connection: sqlite3.Connection, tasks: Iterable[tuple[str, int]]) -> None:
    """Nothing that is said of annotations of these (project, task) is news; inside a `Database.write` block."""
    connection.executemany("INSERT OR IGNORE INTO deleted_tasks VALUES (?, ?)", tasks)
