"""What was heard of annotations: the latest word on each, and the tasks still to be read from Label Studio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, update

from adclick_backend.store.database import FARTHEST_S, Database
from adclick_backend.store.statements import in_parts, larger, run_for_each, upsert
from adclick_backend.store.tables import annotation_revisions, deleted_tasks, labelled_tasks, task_checks

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
            known = {
                int(task)
                for part in in_parts(tasks)
                for table in (annotation_revisions, labelled_tasks)
                for task in connection.execute(
                    select(table.c.task_id).where(table.c.project == project, table.c.task_id.in_(part))
                ).scalars()
            }
        return sorted(known)

    def are_known(self, project: str, annotations: Iterable[int]) -> bool:
        """Whether something was heard of each of these annotations."""
        asked = set(annotations)
        heard = annotation_revisions.c
        with self._database.read() as connection:
            known = [
                annotation
                for part in in_parts(asked)
                for annotation in connection.execute(
                    select(heard.annotation_id).where(heard.project == project, heard.annotation_id.in_(part))
                ).scalars()
            ]
        return len(known) == len(asked)

    def last_change(self, project: str, annotation: int, task: int) -> float | None:
        """When the annotation, or else another one of its task, was last changed or deleted, Unix seconds.

        None when nothing was ever heard of either. Of a deleted one it is infinite: no message about it is news.
        """
        heard = annotation_revisions.c
        with self._database.read() as connection:
            row = connection.execute(
                select(heard.changed_at, heard.deleted)
                .where(
                    heard.project == project,
                    or_(heard.annotation_id == annotation, and_(heard.task_id == task, heard.deleted == 0)),
                )
                .order_by(heard.annotation_id != annotation)
                .limit(1)
            ).one_or_none()
            gone = connection.execute(
                select(deleted_tasks.c.task_id).where(
                    deleted_tasks.c.project == project, deleted_tasks.c.task_id == task
                )
            ).one_or_none()
        if gone or (row and row.deleted):
            return float("inf")
        return float(row.changed_at) if row else None

    def authors(self, project: str) -> dict[int, int]:
        """Annotation -> number of the user of Label Studio who made it, as far as that is known."""
        heard = annotation_revisions.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(heard.annotation_id, heard.author).where(
                    heard.project == project, heard.author.is_not(None)
                )
            ).all()
        return {int(row.annotation_id): int(row.author) for row in rows}

    def note_authors(self, project: str, authors: Mapping[int, int]) -> None:
        """Write down which user of Label Studio made each of these annotations, as far as anything was heard of them.

        Nothing is written when that is known already.
        """
        heard = annotation_revisions.c
        with self._database.read() as connection:
            known = {
                row.annotation_id: row.author
                for part in in_parts(authors)
                for row in connection.execute(
                    select(heard.annotation_id, heard.author).where(
                        heard.project == project, heard.annotation_id.in_(part)
                    )
                )
            }
        news = {one: author for one, author in authors.items() if known.get(one, author) != author}
        if not news:
            return
        with self._database.write() as connection:
            run_for_each(
                connection,
                update(annotation_revisions)
                .where(heard.project == project, heard.annotation_id == bindparam("annotation"))
                .values(author=bindparam("by")),
                ({"annotation": annotation, "by": author} for annotation, author in news.items()),
            )

    # --- tasks to be read before what a message said of them is believed

    def ask_checks(self, project: str, tasks: Iterable[int], most: int) -> bool:
        """Put tasks on the list of those to be read from Label Studio.

        False, and nothing of the project is on the list, when there would be more than `most`: then reading the whole
        project is less work.
        """
        of_project = task_checks.c.project == project
        with self._database.write() as connection:
            for task in tasks:
                row = {"project": project, "task_id": task, "asked": self._database.now()}
                upsert(connection, task_checks, {**row, "attempts": 0, "due": 0.0})
            number = connection.execute(
                select(func.count()).select_from(task_checks).where(of_project)
            ).scalar_one()
            if number > most:
                connection.execute(delete(task_checks).where(of_project))
        return bool(number <= most)

    def next_checks(self) -> list[TaskCheck]:
        """The tasks of one project to be read now; none when nothing is due."""
        check, now = task_checks.c, self._database.now()
        due = ~check.due.between(now, now + FARTHEST_S)
        first = select(check.project).where(due).order_by(larger(check.due, check.asked)).limit(1)
        with self._database.read() as connection:
            rows = connection.execute(
                select(check.project, check.task_id, check.attempts, check.asked)
                .where(due, check.project == first.scalar_subquery())
                .order_by(check.task_id)
            ).all()
        return [TaskCheck(*row) for row in rows]

    def end_checks(self, checks: Iterable[TaskCheck], *, retry_at: float | None = None) -> None:
        """The tasks were read, or will be tried again at `retry_at` (Unix seconds).

        What was asked for once more meanwhile is still to do.
        """
        this = and_(
            task_checks.c.project == bindparam("of_project"),
            task_checks.c.task_id == bindparam("of_task"),
            task_checks.c.asked == bindparam("asked_at"),
        )
        keys = [
            {"of_project": check.project, "of_task": check.task_id, "asked_at": check.asked}
            for check in checks
        ]
        with self._database.write() as connection:
            if retry_at is None:
                run_for_each(connection, delete(task_checks).where(this), keys)
            else:
                later = {"due": retry_at, "attempts": task_checks.c.attempts + 1}
                run_for_each(connection, update(task_checks).where(this).values(later), keys)


def is_news(
    connection: Connection,
    project: str,
    annotation_id: int,
    task_id: int,
    changed_at: float,
    *,
    now: float,
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
        now: Unix seconds by the database's clock. What was heard later than that was heard before the clock was set
            back, and so before `asked`.
        asked: when Label Studio was asked, Unix seconds, if its API said it: that outranks every message heard before,
            deletions included. None for a message, which may be late.
    """
    of_task = and_(deleted_tasks.c.project == project, deleted_tasks.c.task_id == task_id)
    gone = connection.execute(select(deleted_tasks.c.heard).where(of_task)).one_or_none()
    if gone and (asked is None or asked <= gone.heard <= now):
        return False
    revision = annotation_revisions.c
    known = connection.execute(
        select(revision.changed_at, revision.deleted, revision.heard).where(
            revision.project == project, revision.annotation_id == annotation_id
        )
    ).one_or_none()
    outranked = known is not None and (known.deleted or known.changed_at > changed_at)
    if known is not None and outranked and (asked is None or asked <= known.heard <= now):
        return False
    if gone:
        connection.execute(delete(deleted_tasks).where(of_task))
    row = {
        "project": project,
        "annotation_id": annotation_id,
        "changed_at": changed_at,
        "task_id": task_id,
        "heard": now if asked is None else asked,
        "deleted": 0,
    }
    upsert(connection, annotation_revisions, row)
    return True


def mark_deleted(connection: Connection, project: str, annotations: Iterable[int], now: float) -> None:
    """No message about these annotations is news from now on; inside a `Database.write` block."""
    rows = [
        {"project": project, "annotation_id": one, "changed_at": now, "deleted": 1, "heard": now}
        for one in annotations
    ]
    upsert(connection, annotation_revisions, rows, change=["deleted", "heard"])


def tasks_of(connection: Connection, project: str, annotations: Iterable[int]) -> list[int]:
    """The tasks of these annotations, as far as they are known, each once."""
    heard = annotation_revisions.c
    tasks = {
        int(task)
        for part in in_parts(annotations)
        for task in connection.execute(
            select(heard.task_id).where(
                heard.project == project, heard.task_id.is_not(None), heard.annotation_id.in_(part)
            )
        ).scalars()
    }
    return sorted(tasks)


def mark_tasks_deleted(connection: Connection, project: str, tasks: Iterable[int], now: float) -> None:
    """No message about annotations of these tasks is news; inside a `Database.write` block."""
    upsert(
        connection,
        deleted_tasks,
        [{"project": project, "task_id": task, "heard": now} for task in tasks],
    )
