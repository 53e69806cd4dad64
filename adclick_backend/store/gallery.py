"""The labelled images of a project without their annotations, whose masks are large: what a list of them shows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from sqlalchemy import select

from adclick_backend.store.database import Database
from adclick_backend.store.label_rows import is_about
from adclick_backend.store.labelled_task import Flag, Kinds
from adclick_backend.store.tables import annotation_revisions, labelled_tasks


@dataclass(frozen=True)
class GalleryImage:
    """A labelled image of a task.

    Attributes:
        task_id: the task.
        image: key of the image in the labeling config, "" for the only one.
        url: of the image.
        sha: SHA-256 of its file; "" until it was fetched.
        file: name of the kept copy; "" until it was fetched.
        kinds: kind of label by defect type; {} is free of defects, None says nothing.
        flag: why nothing is learned from it, in a word.
        reason: the same as a sentence; "" when it can be learned from, or says nothing about defects.
        updated: when the label was last written down, Unix seconds.
        author: number of the user in Label Studio who made the annotation that counts; None when it is not known.
    """

    task_id: int
    image: str
    url: str
    sha: str
    file: str
    kinds: Kinds | None
    flag: Flag
    reason: str
    updated: float
    author: int | None

    @property
    def trains(self) -> bool:
        """Whether a training can learn from it."""
        return self.kinds is not None and not self.reason

    @property
    def version(self) -> str:
        """Changes whenever a picture of the image with its masks does."""
        text = f"{self.sha} {self.updated} {json.dumps(self.kinds, sort_keys=True)}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class GalleryTable:
    """Table ``labelled_tasks`` as a list of pictures."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def images(self, project: str, most: int | None = None) -> list[GalleryImage]:
        """The labelled images of a project, those labelled last first; `most` of them, None for all."""
        row, heard = labelled_tasks.c, annotation_revisions.c
        with self._database.read() as connection:
            rows = connection.execute(
                select(
                    *(row.task_id, row.image, row.url, row.sha, row.file, row.kinds, row.flag),
                    *(row.problem, row.remark, row.updated),
                )
                .where(row.project == project, row.deleted.is_(None), is_about())
                .order_by(row.updated.desc(), row.task_id.desc(), row.image)
                .limit(most)
            ).all()
            said = connection.execute(
                select(heard.task_id, heard.author)
                .where(heard.project == project, heard.deleted == 0)
                .order_by(heard.changed_at, heard.annotation_id)
            ).all()
        authors: dict[int, int | None] = {task: author for task, author in said}  # the last one counts
        return [
            GalleryImage(
                one.task_id,
                one.image,
                one.url,
                one.sha,
                one.file,
                json.loads(one.kinds),
                one.flag,
                one.problem or one.remark,
                one.updated,
                authors.get(one.task_id),
            )
            for one in rows
        ]
