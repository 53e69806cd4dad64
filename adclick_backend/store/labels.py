"""The annotated tasks of a project: a copy of what Label Studio says, from which training learns."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    delete,
    func,
    or_,
    select,
    update,
)

from adclick_backend.store.annotations import mark_deleted, mark_tasks_deleted, tasks_of
from adclick_backend.store.database import KEPT_S, Database
from adclick_backend.store.label_rows import (
    find_rows,
    is_about,
    is_news_of,
    known_annotations,
    marked_gone,
    of_task,
    save_rows,
    task_of,
    there,
    with_clicks,
    write_summary,
)
from adclick_backend.store.labelled_task import Annotated, Kinds, LabelledTask, LeftOut, Summarise
from adclick_backend.store.statements import in_parts
from adclick_backend.store.tables import annotation_revisions, deleted_tasks, labelled_tasks

_LABELLED = labelled_tasks.c


class LabelTable:
    """Table ``labelled_tasks``: one row for each image of a task."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- reading

    def of_project(self, project: str) -> list[LabelledTask]:
        """Every image of the labelled tasks, in the order of their ids."""
        return self._tasks(
            select(labelled_tasks).where(there(project)).order_by(_LABELLED.task_id, _LABELLED.image)
        )

    def updates(self, project: str) -> dict[int, float]:
        """Task id -> when its rows were last written, Unix seconds."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(_LABELLED.task_id, func.max(_LABELLED.updated))
                .where(there(project))
                .group_by(_LABELLED.task_id)
            ).all()
        return {task: updated for task, updated in rows}

    def images(self, project: str) -> list[tuple[int, str, str]]:
        """(task id, URL, name of the kept copy) of every labelled image."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(_LABELLED.task_id, _LABELLED.url, _LABELLED.file)
                .where(there(project))
                .order_by(_LABELLED.task_id, _LABELLED.image)
            ).all()
        return [(row.task_id, row.url, row.file) for row in rows]

    def hashes(self, project: str) -> list[tuple[int, str, str]]:
        """(task id, URL, SHA-256) of every labelled image that was fetched."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(_LABELLED.task_id, _LABELLED.url, _LABELLED.sha)
                .where(_LABELLED.project == project, _LABELLED.sha != "")
                .order_by(_LABELLED.task_id.desc())
            ).all()
        return [(row.task_id, row.url, row.sha) for row in rows]

    def kept_files(self, project: str) -> set[str]:
        """The copies of images that are needed, or would be if what was deleted lately came back."""
        with self._database.read() as connection:
            files = connection.execute(
                select(_LABELLED.file).where(_LABELLED.project == project, _LABELLED.file != "").distinct()
            ).scalars()
            return set(files)

    def kept_copy(self, project: str, task_id: int, url: str) -> str:
        """The name of the kept copy of the image behind this URL of the task; "" when there is none."""
        with self._database.read() as connection:
            file = connection.execute(
                select(_LABELLED.file).where(of_task(project, task_id), _LABELLED.url == url).limit(1)
            ).scalar_one_or_none()
        return file or ""

    def kinds(self, project: str) -> list[Kinds | None]:
        """For each labelled image, the kind of label by defect type; {} is free of defects, None says nothing."""
        with self._database.read() as connection:
            kinds = connection.execute(
                select(_LABELLED.kinds)
                .where(there(project), is_about())
                .order_by(_LABELLED.task_id, _LABELLED.image)
            ).scalars()
            return [json.loads(one) for one in kinds]

    def some(self, project: str, tasks: Iterable[int]) -> list[LabelledTask]:
        """The images of those of the tasks that are labelled, in the order of the tasks."""
        wanted = list(dict.fromkeys(tasks))
        found: defaultdict[int, list[LabelledTask]] = defaultdict(list)
        for part in in_parts(wanted):
            statement = select(labelled_tasks).where(there(project), _LABELLED.task_id.in_(part))
            for image in self._tasks(statement.order_by(_LABELLED.image)):
                found[image.task_id].append(image)
        return [image for task in wanted for image in found[task]]

    def left_out(self, project: str) -> list[LeftOut]:
        """Tasks that cannot be learned from, and why: a problem of the image, or what the annotation lacks."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(_LABELLED.task_id, _LABELLED.problem, _LABELLED.flag, _LABELLED.remark)
                .where(there(project), or_(_LABELLED.problem != "", _LABELLED.kinds == "null"), is_about())
                .distinct()
                .order_by(_LABELLED.task_id, _LABELLED.problem, _LABELLED.flag, _LABELLED.remark)
            ).all()
        found = [LeftOut(row.task_id, row.problem or row.remark, row.flag) for row in rows]
        return sorted(found, key=lambda one: one.flag == "")

    def flags(self, project: str) -> dict[str, int]:
        """How many tasks carry which flag."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(_LABELLED.flag, func.count(_LABELLED.task_id.distinct()))
                .where(there(project), _LABELLED.flag != "")
                .group_by(_LABELLED.flag)
            ).all()
        return {flag: int(number) for flag, number in rows}

    def deleted(self, project: str) -> list[tuple[int, float]]:
        """(task id, when it was heard) of the labels that were deleted and can be brought back, the latest first."""
        with self._database.read() as connection:
            latest = func.max(_LABELLED.deleted)
            rows = connection.execute(
                select(_LABELLED.task_id, latest)
                .where(_LABELLED.project == project, _LABELLED.deleted > self._database.now() - KEPT_S)
                .group_by(_LABELLED.task_id)
                .order_by(latest.desc(), _LABELLED.task_id.desc())
            ).all()
        return [(task, float(deleted)) for task, deleted in rows]

    def restored(self, project: str) -> set[int]:
        """The tasks whose labels a person brought back, and which Label Studio does not have again."""
        with self._database.read() as connection:
            tasks = connection.execute(
                select(_LABELLED.task_id).where(_LABELLED.project == project, _LABELLED.restored.is_not(None))
            ).scalars()
            return set(tasks)

    def changed_since(self, project: str, moment: float) -> int:
        """How many tasks that can be learned from were labelled, or labelled anew, after that time (Unix seconds)."""
        with self._database.read() as connection:
            found = connection.execute(
                select(func.count(_LABELLED.task_id.distinct())).where(
                    there(project), _LABELLED.updated > moment, _LABELLED.kinds != "null"
                )
            ).scalar_one()
        return int(found)

    # --- what Label Studio says

    def put(
        self,
        images: Sequence[LabelledTask],
        annotation: Annotated,
        summarise: Summarise,
        asked: float | None = None,
    ) -> bool:
        """Take in the latest word on one annotation; answer whether anything changed.

        Args:
            images: project, id, data and URL of each image of the annotation's task; the rest is of no importance.
            annotation: what is older than what is known is ignored, and so is what belongs to a deleted task or is
                deleted itself.
            summarise: what a task's annotations amount to.
            asked: when Label Studio was asked, Unix seconds, if its API said it; see `is_news`.
        """
        with self._database.write() as connection:
            now = self._database.now()
            if not is_news_of(connection, images[0], annotation, now, asked):
                return False
            rows = find_rows(connection, images[0].project, images[0].task_id)
            before = {one["id"]: one for one in known_annotations(rows)}
            before[annotation["id"]] = with_clicks(annotation, before.get(annotation["id"]))
            return save_rows(connection, rows, images, list(before.values()), summarise, now)

    def mirror(self, images: Sequence[LabelledTask], *, asked: float, summarise: Summarise) -> bool:
        """Take in a task with all its annotations, as read from Label Studio; answer whether anything changed.

        What Label Studio says now outranks what was announced before, deletions included.

        Args:
            images: the images of the task, each with all its annotations. Known annotations that are missing count as
                deleted, unless a row was written after `asked`: then they may be younger than what was read. A task
                without any is left as it is when a person brought it back.
            asked: when Label Studio was asked, Unix seconds.
            summarise: see `put`.
        """
        with self._database.write() as connection:
            now = self._database.now()
            rows = find_rows(connection, images[0].project, images[0].task_id)
            if not images[0].annotations and any(row.restored for row in rows):
                return False
            before = {one["id"]: one for one in known_annotations(rows)}
            if any(asked <= row.updated <= now for row in rows):
                kept = dict(before)
            else:
                kept = {number: marked_gone(one, asked) for number, one in before.items()}
            for annotation in images[0].annotations:
                number = annotation["id"]
                if is_news_of(connection, images[0], annotation, now, asked):
                    kept[number] = with_clicks(annotation, before.get(number))
                elif number in before:
                    kept[number] = before[number]
            return save_rows(connection, rows, images, list(kept.values()), summarise, now)

    def delete_annotations(self, project: str, annotations: Iterable[int], summarise: Summarise) -> bool:
        """It was heard that the annotations are gone; answer whether any was known. All in one transaction."""
        gone = set(annotations)
        with self._database.write() as connection:
            mark_deleted(connection, project, sorted(gone), self._database.now())
            changed = [
                self._without(connection, project, task, gone, summarise)
                for task in tasks_of(connection, project, sorted(gone))
            ]
        return any(changed)

    def _without(
        self,
        connection: Connection,
        project: str,
        task: int,
        gone: Collection[int],
        summarise: Summarise,
    ) -> bool:
        rows = find_rows(connection, project, task)
        if not rows or not any(one["id"] in gone for one in rows[0].live):
            return False
        now = self._database.now()
        left = [marked_gone(one, now) if one["id"] in gone else one for one in known_annotations(rows)]
        return save_rows(connection, rows, rows, left, summarise, now)

    def delete_tasks(self, project: str, tasks: Iterable[int]) -> bool:
        """It was heard that the tasks are gone; answer whether any was labelled."""
        told = list(tasks)
        with self._database.write() as connection:
            now = self._database.now()
            mark_tasks_deleted(connection, project, told, now)
            gone = [
                connection.execute(
                    update(labelled_tasks)
                    .where(there(project), _LABELLED.task_id.in_(part))
                    .values(deleted=now)
                ).rowcount
                for part in in_parts(told)
            ]
        return sum(gone) > 0

    def restore(self, project: str, task_id: int, summarise: Summarise) -> bool:
        """Bring back a deleted task, or the annotations that were deleted of it; answer whether there were any."""
        with self._database.write() as connection:
            rows = find_rows(connection, project, task_id)
            if not rows or (rows[0].deleted is None and len(rows[0].live) == len(rows[0].annotations)):
                return False
            gone, heard, now = deleted_tasks.c, annotation_revisions.c, self._database.now()
            connection.execute(delete(deleted_tasks).where(gone.project == project, gone.task_id == task_id))
            connection.execute(
                update(annotation_revisions)
                .where(heard.project == project, heard.task_id == task_id)
                .values(deleted=0)
            )
            back = [
                {key: value for key, value in one.items() if key != "deleted"}
                for one in known_annotations(rows)
            ]
            images = [replace(row, deleted=None, restored=now) for row in rows]
            return save_rows(connection, rows, images, back, summarise, now)  # type: ignore[arg-type]

    def summarise_again(self, project: str, summarise: Summarise) -> None:
        """The words of the project mean something else now: say anew what each task amounts to."""
        with self._database.write() as connection:
            of_project = select(labelled_tasks).where(_LABELLED.project == project)
            for row in connection.execute(of_project).mappings().all():
                task = task_of(row)
                write_summary(connection, task, summarise(task))

    def purge(self) -> int:
        """Forget for good what was deleted longer than `KEPT_S` ago; how many images those were."""
        with self._database.write() as connection:
            gone = connection.execute(
                delete(labelled_tasks).where(_LABELLED.deleted < self._database.now() - KEPT_S)
            )
        return gone.rowcount

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
                update(labelled_tasks)
                .where(of_task(project, task_id), _LABELLED.url == url)
                .values(sha=sha, file=file, problem=problem)
            )

    def _tasks(self, statement: Select[Any]) -> list[LabelledTask]:
        with self._database.read() as connection:
            rows = connection.execute(statement).mappings().all()
        return [task_of(row) for row in rows]
