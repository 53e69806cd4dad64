"""The labelled images of a project without their annotations, whose masks are large: what a list of them shows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from adclick_backend.store.database import Database
from adclick_backend.store.labels import BESIDE, Flag, Kinds


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

    def images(self, project: str, most: int = -1) -> list[GalleryImage]:
        """The labelled images of a project, those labelled last first; `most` of them, -1 for all."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT task_id, image, url, sha, file, kinds, flag, problem, remark, updated "  # noqa: S608
                "FROM labelled_tasks AS one WHERE project = ? AND deleted IS NULL "
                f"AND NOT ({BESIDE}) ORDER BY updated DESC, task_id DESC, image LIMIT ?",
                (project, most),
            ).fetchall()
            said = connection.execute(
                "SELECT task_id, author FROM annotation_revisions WHERE project = ? AND NOT deleted "
                "ORDER BY changed_at, annotation_id",
                (project,),
            ).fetchall()
        authors: dict[int, int | None] = {
            row["task_id"]: row["author"] for row in said
        }  # the last one counts
        return [
            GalleryImage(
                row["task_id"],
                row["image"],
                row["url"],
                row["sha"],
                row["file"],
                json.loads(row["kinds"]),
                row["flag"],
                row["problem"] or row["remark"],
                row["updated"],
                authors.get(row["task_id"]),
            )
            for row in rows
        ]
