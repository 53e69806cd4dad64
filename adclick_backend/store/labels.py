"""The annotated tasks of a project: a copy of what Label Studio says, from which training learns."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from adclick_backend.store.annotations import is_news, mark_deleted, mark_tasks_deleted
from adclick_backend.store.database import Database

Kinds = dict[str, str]


class Annotated(TypedDict):
    """What is kept of an annotation."""

    id: int
    result: list[dict[str, Any]]
    was_cancelled: bool
    changed_at: float  # Unix seconds


@dataclass(frozen=True)
class LabelledTask:
    """A task with its annotations, and where the copy of its image is.

    Attributes:
        project: project id.
        task_id: the task.
        data: of the task.
        annotations: those that are known, in the order of their ids.
        url: of its image; "" when the task has none.
        sha: SHA-256 of the image file; "" until it was fetched.
        file: name of the kept copy; "" until it was fetched.
        problem: why it could not be fetched.
        updated: when this row was last written, Unix seconds.
    """

    project: str
    task_id: int
    data: dict[str, Any]
    annotations: Sequence[Annotated]
    url: str
    sha: str = ""
    file: str = ""
    problem: str = ""
    updated: float = 0.0


Summarise = Callable[[LabelledTask], Kinds | None]


class LabelTable:
    """Table ``labelled_tasks``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading

    def of_project(self, project: str) -> list[LabelledTask]:
        """Every labelled task, in the order of their ids."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT * FROM labelled_tasks WHERE project = ? ORDER BY task_id", (project,)
            ).fetchall()
        return [_task(row) for row in rows]

    def updates(self, project: str) -> dict[int, float]:
        """Task id -> when its row was last written, Unix seconds."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT task_id, updated FROM labelled_tasks WHERE project = ?", (project,)
            ).fetchall()
        return {row["task_id"]: row["updated"] for row in rows}

    def images(self, project: str) -> list[tuple[int, str, str]]:
        """(task id, URL, name of the kept copy) of every labelled task."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT task_id, url, file FROM labelled_tasks WHERE project = ? ORDER BY task_id", (project,)
            ).fetchall()
        return [(row["task_id"], row["url"], row["file"]) for row in rows]

    def kinds(self, project: str) -> list[Kinds | None]:
        """For each labelled task, the kind of label by defect type; {} is free of defects, None says nothing."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT kinds FROM labelled_tasks WHERE project = ? ORDER BY task_id", (project,)
            ).fetchall()
        return [json.loads(row["kinds"]) for row in rows]

    def left_out(self, project: str) -> list[tuple[int, str]]:
        """Tasks that cannot be learned from, and why: the image's problem, or "" when the annotation says nothing."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT task_id, problem FROM labelled_tasks "
                "WHERE project = ? AND (problem != '' OR kinds = 'null') ORDER BY task_id",
                (project,),
            ).fetchall()
        return [(row["task_id"], row["problem"]) for row in rows]

    def changed_since(self, project: str, moment: float) -> int:
        """How many tasks that can be learned from were labelled, or labelled anew, after that time (Unix seconds)."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT COUNT(*) AS found FROM labelled_tasks "
                "WHERE project = ? AND updated > ? AND kinds != 'null'",
                (project, moment),
            ).fetchone()
        return int(row["found"])

    # --- what Label Studio says

    def put(self, task: LabelledTask, annotation: Annotated, summarise: Summarise) -> bool:
        """Take in the latest word on one annotation; answer whether anything changed.

        Args:
            task: project, id, data and URL of the annotation's task; the rest of it is of no importance.
            annotation: what is older than what is known is ignored, and so is what belongs to a deleted task or is
                deleted itself.
            summarise: the kind of label by defect type that a task's annotations amount to.
        """
        with self._database.write() as connection:
            if not _is_news(connection, task, annotation):
                return False
            known = _find(connection, task.project, task.task_id)
            others = [one for one in known.annotations if one["id"] != annotation["id"]] if known else []
            return _save(connection, known, replace(task, annotations=[*others, annotation]), summarise)

    def mirror(self, task: LabelledTask, *, asked: float, summarise: Summarise) -> bool:
        """Take in a task with all its annotations, as read from Label Studio; answer whether anything changed.

        Args:
            task: the task. Known annotations that are missing are dropped, unless the row was written after `asked`:
                then they may be younger than what was read.
            asked: when Label Studio was asked, Unix seconds.
            summarise: see `put`.
        """
        with self._database.write() as connection:
            known = _find(connection, task.project, task.task_id)
            before = {one["id"]: one for one in known.annotations} if known else {}
            kept = dict(before) if known and known.updated >= asked else {}
            for annotation in task.annotations:
                if _is_news(connection, task, annotation):
                    kept[annotation["id"]] = annotation
                elif annotation["id"] in before:
                    kept[annotation["id"]] = before[annotation["id"]]
            return _save(connection, known, replace(task, annotations=list(kept.values())), summarise)

    def delete_annotation(self, project: str, annotation_id: int, summarise: Summarise) -> bool:
        """The annotation is gone for good; answer whether it was known."""
        with self._database.write() as connection:
            mark_deleted(connection, project, annotation_id)
            row = connection.execute(
                "SELECT task_id FROM annotation_revisions WHERE project = ? AND annotation_id = ?",
                (project, annotation_id),
            ).fetchone()
            known = _find(connection, project, row["task_id"])
            if known is None:
                return False
            left = [one for one in known.annotations if one["id"] != annotation_id]
            _save(connection, known, replace(known, annotations=left), summarise)
            return len(left) < len(known.annotations)

    def delete_tasks(self, project: str, tasks: Iterable[int]) -> bool:
        """The tasks are gone for good; answer whether any was labelled."""
        keys = [(project, task) for task in tasks]
        with self._database.write() as connection:
            mark_tasks_deleted(connection, keys)
            gone = connection.executemany(
                "DELETE FROM labelled_tasks WHERE project = ? AND task_id = ?", keys
            )
        return gone.rowcount > 0

    # --- the copies of the images

    def fetched(self, project: str, task_id: int, url: str, *, sha: str, file: str) -> None:
        """The image behind this URL is here, under this name."""
        self._settle(project, task_id, url, sha=sha, file=file, problem="")

    def not_fetched(self, project: str, task_id: int, url: str, problem: str) -> None:
        """There is no copy of the image behind this URL, and why."""
        self._settle(project, task_id, url, sha="", file="", problem=problem)

    def _settle(self, project: str, task_id: int, url: str, *, sha: str, file: str, problem: str) -> None:
        with self._database.write() as connection:
            connection.execute(
                "UPDATE labelled_tasks SET sha = ?, file = ?, problem = ? "
                "WHERE project = ? AND task_id = ? AND url = ?",
                (sha, file, problem, project, task_id, url),
            )


def _is_news(connection: sqlite3.Connection, task: LabelledTask, annotation: Annotated) -> bool:
    return is_news(connection, task.project, annotation["id"], task.task_id, annotation["changed_at"])


def _find(connection: sqlite3.Connection, project: str, task_id: int) -> LabelledTask | None:
    row = connection.execute(
        "SELECT * FROM labelled_tasks WHERE project = ? AND task_id = ?", (project, task_id)
    ).fetchone()
    return _task(row) if row else None


def _task(row: sqlite3.Row) -> LabelledTask:
    values = {name: row[name] for name in row.keys() if name != "kinds"}  # noqa: SIM118  (a Row iterates values)
    values["data"], values["annotations"] = json.loads(row["data"]), json.loads(row["annotations"])
    return LabelledTask(**values)


def _save(
    connection: sqlite3.Connection, known: LabelledTask | None, task: LabelledTask, summarise: Summarise
) -> bool:
    """Write a task's row; without annotations there is none. Answers whether anything changed."""
    if not task.annotations:
        connection.execute(
            "DELETE FROM labelled_tasks WHERE project = ? AND task_id = ?", (task.project, task.task_id)
        )
        return known is not None
    if known is not None and known.url == task.url:
        task = replace(task, sha=known.sha, file=known.file, problem=known.problem)
    task = replace(task, annotations=sorted(task.annotations, key=lambda annotation: annotation["id"]))
    if known is not None and replace(task, updated=known.updated) == known:
        connection.execute(
            "UPDATE labelled_tasks SET kinds = ? WHERE project = ? AND task_id = ?",
            (json.dumps(summarise(task)), task.project, task.task_id),
        )
        return False
    row = vars(task) | {
        "data": json.dumps(task.data),
        "annotations": json.dumps(task.annotations),
        "kinds": json.dumps(summarise(task)),
        "updated": time.time(),
    }
    columns, places = ", ".join(row), ", ".join(f":{name}" for name in row)
    connection.execute(f"REPLACE INTO labelled_tasks ({columns}) VALUES ({places})", row)  # noqa: S608  (names are ours)
    return True
