"""The rows of annotated tasks: finding those of a task, and writing them anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    bindparam,
    delete,
    exists,
    or_,
    select,
    update,
)

from adclick_backend.store.annotations import is_news
from adclick_backend.store.labelled_task import Annotated, LabelledTask, Summarise, Summary
from adclick_backend.store.statements import upsert
from adclick_backend.store.tables import labelled_tasks

_LABELLED = labelled_tasks.c

# Made once: to make a statement takes longer than to run it, and a message may be about a thousand tasks.
_OF_TASK = (
    select(labelled_tasks)
    .where(_LABELLED.project == bindparam("of"), _LABELLED.task_id == bindparam("task"))
    .order_by(_LABELLED.image)
)
_SUMMARY = (
    update(labelled_tasks)
    .where(
        _LABELLED.project == bindparam("of"),
        _LABELLED.task_id == bindparam("task"),
        _LABELLED.image == bindparam("at"),
    )
    .values(kinds=bindparam("kinds"), flag=bindparam("flag"), remark=bindparam("remark"))
)


def is_about() -> ColumnElement[bool]:
    """Of a row: its image is not one that the task's annotation is beside, being about another image of the task."""
    other = labelled_tasks.alias("other")
    told = exists().where(
        other.c.project == _LABELLED.project,
        other.c.task_id == _LABELLED.task_id,
        or_(other.c.kinds != "null", other.c.flag != ""),
    )
    return or_(_LABELLED.kinds != "null", _LABELLED.flag != "", ~told)


def there(project: str) -> ColumnElement[bool]:
    """The rows of a project that are not deleted."""
    return and_(_LABELLED.project == project, _LABELLED.deleted.is_(None))


def of_task(project: str, task_id: int) -> ColumnElement[bool]:
    """The rows of a task, deleted or not."""
    return and_(_LABELLED.project == project, _LABELLED.task_id == task_id)


def is_news_of(
    connection: Connection,
    task: LabelledTask,
    annotation: Annotated,
    now: float,
    asked: float | None = None,
) -> bool:
    """Whether an annotation of a task is not older than what is known; see :func:`is_news`."""
    changed_at = annotation["changed_at"]
    return is_news(connection, task.project, annotation["id"], task.task_id, changed_at, now=now, asked=asked)


def marked_gone(annotation: Annotated, when: float) -> Annotated:
    """An annotation that was deleted at that time, Unix seconds, if not before."""
    return annotation if annotation.get("deleted") else {**annotation, "deleted": when}


def with_clicks(annotation: Annotated, before: Annotated | None) -> Annotated:
    """An annotation that did not change goes on being one that was saved after clicks."""
    if before is None or before["changed_at"] != annotation["changed_at"] or not before.get("clicked"):
        return annotation
    return {**annotation, "clicked": True}


def find_rows(connection: Connection, project: str, task_id: int) -> list[LabelledTask]:
    """The rows of a task, one for each of its images."""
    rows = connection.execute(_OF_TASK, {"of": project, "task": task_id})
    return [task_of(row) for row in rows.mappings().all()]


def known_annotations(rows: Sequence[LabelledTask]) -> Sequence[Annotated]:
    """The known annotations of a task, the same in each of its rows."""
    return rows[0].annotations if rows else []


def task_of(row: RowMapping) -> LabelledTask:
    """What a row says."""
    values = {name: value for name, value in row.items() if name != "kinds"}
    values["data"], values["annotations"] = json.loads(row["data"]), json.loads(row["annotations"])
    return LabelledTask(**values)


def save_rows(
    connection: Connection,
    rows: Sequence[LabelledTask],
    images: Sequence[LabelledTask],
    annotations: Sequence[Annotated],
    summarise: Summarise,
    now: float,
) -> bool:
    """Write the rows of a task; one without annotations counts as deleted. Answers whether anything changed."""
    if not annotations:
        return False
    known = {row.image: row for row in rows}
    wanted = {image.image: image for image in images}
    for name in known.keys() - wanted.keys():  # the labeling config has no such image any more
        connection.execute(
            delete(labelled_tasks).where(
                of_task(known[name].project, known[name].task_id), _LABELLED.image == name
            )
        )
    ordered = sorted(annotations, key=lambda annotation: annotation["id"])
    changed = [
        _save_image(connection, known.get(name), replace(image, annotations=ordered), summarise, now)
        for name, image in wanted.items()
    ]
    return any(changed) or known.keys() != wanted.keys()


def write_summary(connection: Connection, task: LabelledTask, found: Summary) -> None:
    """Write down what the annotations of a task amount to for one of its images."""
    image = {"of": task.project, "task": task.task_id, "at": task.image}
    said = {"kinds": json.dumps(found.kinds), "flag": found.flag, "remark": found.remark}
    connection.execute(_SUMMARY, {**image, **said})


def _save_image(
    connection: Connection,
    known: LabelledTask | None,
    task: LabelledTask,
    summarise: Summarise,
    now: float,
) -> bool:
    """Write one row; answers whether anything but what it amounts to changed."""
    if known is not None and known.url == task.url:
        task = replace(task, sha=known.sha, file=known.file, problem=known.problem)
    deleted = None if task.live else max(one.get("deleted", 0.0) for one in task.annotations)
    task = replace(task, deleted=deleted)
    found = summarise(task)
    if (
        known is not None
        and replace(task, updated=known.updated, flag=known.flag, remark=known.remark) == known
    ):
        write_summary(connection, task, found)
        return False
    row = vars(task) | {
        "data": json.dumps(task.data),
        "annotations": json.dumps(task.annotations),
        "kinds": json.dumps(found.kinds),
        "flag": found.flag,
        "remark": found.remark,
        "updated": now,
    }
    upsert(connection, labelled_tasks, row)
    return True
