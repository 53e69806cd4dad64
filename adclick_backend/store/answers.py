"""The latest answer to the clicks of each region: what turns an accepted mask into a weak label."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, RowMapping, and_, bindparam, delete, func, select, update

from adclick_backend.brush.rle import decode_rle
from adclick_backend.store.database import Database
from adclick_backend.store.statements import list_length, run_for_each, smaller, upsert
from adclick_backend.store.tables import answers


@dataclass(frozen=True)
class Answer:
    """What was answered to the clicks of one region; arrays are kept packed, as they are rarely needed.

    Attributes:
        project: project id.
        task_id: the task.
        region: id of the region in Label Studio.
        label: brush label of the region.
        clicks: (x, y, positive), oldest first, pixels of the mask's frame.
        sha: SHA-256 of the image file.
        model_version: that answered.
        references: SHA-256 of the references it compared with.
        size: height and width of the mask's frame, the image as the person saw it.
        mask_rle: the mask as brush RLE, zlib.
        map_size: height and width of the probability map, the model's working frame.
        map_bytes: the map as uint8 (0 to 255 for 0 to 1), zlib.
        answered: Unix seconds.
        accepted: an annotation holds the region.
    """

    project: str
    task_id: int
    region: str
    label: str
    clicks: tuple[tuple[float, float, bool], ...]
    sha: str
    model_version: str
    references: tuple[str, ...]
    size: tuple[int, int]
    mask_rle: bytes
    map_size: tuple[int, int]
    map_bytes: bytes
    answered: float
    accepted: bool = False

    def mask(self) -> NDArray[np.bool_]:
        """The mask that was answered, (height, width) bool; raises BrushError when the row is damaged."""
        height, width = self.size
        return decode_rle(zlib.decompress(self.mask_rle), width, height)

    def probability(self) -> NDArray[np.float32]:
        """The probability map, (map height, map width) float32 in [0, 1], true to 1/510."""
        packed = np.frombuffer(zlib.decompress(self.map_bytes), np.uint8)
        return packed.reshape(self.map_size).astype(np.float32) / np.float32(255)


def pack_mask(rle: Iterable[int]) -> bytes:
    """A brush RLE as `Answer.mask_rle`."""
    return zlib.compress(bytes(rle), 1)


def pack_map(probability: NDArray[np.float32]) -> bytes:
    """A probability map (h, w) in [0, 1] as `Answer.map_bytes`."""
    return zlib.compress(np.rint(probability * 255).astype(np.uint8).tobytes(), 1)


class AnswerTable:
    """Table ``answers``: one row for each region, whatever its number of clicks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, answer: Answer) -> None:
        """Keep an answer in the place of the earlier one to the same region, accepted when that was."""
        row = {
            "project": answer.project,
            "task_id": answer.task_id,
            "region": answer.region,
            "label": answer.label,
            "clicks": json.dumps(answer.clicks),
            "sha": answer.sha,
            "model_version": answer.model_version,
            "reference_shas": " ".join(answer.references),
            "mask": answer.mask_rle,
            "probability": answer.map_bytes,
            "answered": answer.answered,
            **dict(zip(("height", "width"), answer.size, strict=True)),
            **dict(zip(("map_height", "map_width"), answer.map_size, strict=True)),
        }
        if answer.accepted:
            row["accepted"] = 1
        with self._database.write() as connection:
            upsert(connection, answers, row)

    def of_task(self, project: str, task_id: int) -> dict[str, Answer]:
        """Region id -> the answer to its clicks."""
        with self._database.read() as connection:
            rows = connection.execute(select(answers).where(_of_task(project, task_id))).mappings().all()
        return {row["region"]: _answer(row) for row in rows}

    def regions(self, project: str, task_id: int) -> set[str]:
        """The regions of a task that answer clicks."""
        with self._database.read() as connection:
            regions = connection.execute(select(answers.c.region).where(_of_task(project, task_id))).scalars()
            return set(regions)

    def clicked(self, project: str, task_id: int, since: float, until: float) -> bool:
        """Whether clicks in the task were answered between two times (Unix seconds) and the mask was not accepted."""
        with self._database.read() as connection:
            row = connection.execute(
                select(answers.c.region)
                .where(
                    _of_task(project, task_id),
                    answers.c.accepted == 0,
                    # the clock may have been set back since
                    smaller(answers.c.answered, self._database.now()).between(since, until),
                )
                .limit(1)
            ).one_or_none()
        return row is not None

    def accepted_clicks(self, project: str) -> list[tuple[float, int]]:
        """When each accepted region was answered last (Unix seconds), and how many clicks it took."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(answers.c.answered, list_length(answers.c.clicks)).where(_accepted_of(project))
            ).all()
        return [(float(answered), int(count)) for answered, count in rows]

    def clicks_by_version(self, project: str) -> dict[str, tuple[int, float]]:
        """``model_version`` -> how many accepted regions it answered, and how many clicks each took on average."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(answers.c.model_version, func.count(), func.avg(list_length(answers.c.clicks)))
                .where(_accepted_of(project))
                .group_by(answers.c.model_version)
            ).all()
        return {name: (int(count), float(mean)) for name, count, mean in rows}

    def accept(self, project: str, task_id: int, regions: Iterable[str]) -> None:
        """These regions were found in an annotation: their answers stay."""
        with self._database.write() as connection:
            run_for_each(
                connection,
                update(answers)
                .where(_of_task(project, task_id), answers.c.region == bindparam("one_region"))
                .values(accepted=1),
                ({"one_region": region} for region in regions),
            )

    def delete_tasks(self, project: str, tasks: Iterable[int]) -> None:
        """The tasks are gone, and what was clicked in them."""
        with self._database.write() as connection:
            run_for_each(
                connection,
                delete(answers).where(answers.c.project == project, answers.c.task_id == bindparam("task")),
                ({"task": task} for task in tasks),
            )

    def prune(self, before: float) -> int:
        """Delete what was answered before that time (Unix seconds) and never accepted; how many those were."""
        with self._database.write() as connection:
            gone = connection.execute(
                delete(answers).where(answers.c.accepted == 0, answers.c.answered < before)
            )
        return gone.rowcount


def _of_task(project: str, task_id: int) -> ColumnElement[bool]:
    return and_(answers.c.project == project, answers.c.task_id == task_id)


def _accepted_of(project: str) -> ColumnElement[bool]:
    return and_(answers.c.project == project, answers.c.accepted == 1)


def _answer(row: RowMapping) -> Answer:
    return Answer(
        project=row["project"],
        task_id=row["task_id"],
        region=row["region"],
        label=row["label"],
        clicks=tuple((x, y, bool(positive)) for x, y, positive in json.loads(row["clicks"])),
        sha=row["sha"],
        model_version=row["model_version"],
        references=tuple(row["reference_shas"].split()),
        size=(row["height"], row["width"]),
        mask_rle=row["mask"],
        map_size=(row["map_height"], row["map_width"]),
        map_bytes=row["probability"],
        answered=row["answered"],
        accepted=bool(row["accepted"]),
    )
