"""The parts that were proposed for tasks, and what people did with them.

Kept in table ``key_values``: a line for each task, and the latest outcomes of each version in one, which is read
whenever something is proposed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection

from adclick_backend.store.database import Database
from adclick_backend.store.projects import read_value, write_value

Outcome = Literal["kept", "corrected", "deleted"]
"""What a person did with a part before submitting the task."""

REMEMBERED = 40
"""Parts of a version that people judged, the latest ones; what came before them counts no more."""

_VERSIONS = 4  # of which is remembered what they proposed for a task


@dataclass(frozen=True)
class JudgedPart:
    """A part that a person kept, corrected or deleted; its score is in [0, 1]."""

    score: float
    outcome: Outcome


class ProposedParts:
    """What was proposed, and what became of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, project: str, task_id: int, version: str, parts: Mapping[str, Mapping[str, float]]) -> None:
        """Note what a version proposes for a task, in the place of what it proposed before.

        Args:
            project: project id.
            task_id: the task.
            version: ``model_version`` of the prediction.
            parts: product -> region id -> score in [0, 1].
        """
        with self._database.write() as connection:
            known = [one for one in _read(connection, project, _task(task_id)) if one["version"] != version]
            told = [*known, {"version": version, "parts": parts}][-_VERSIONS:]
            _write(connection, project, _task(task_id), told)

    def judge(self, project: str, task_id: int, unchanged: Collection[str], changed: Collection[str]) -> None:
        """A person submitted a task that had been opened with a prediction; the last word on a task counts.

        The version whose regions are there, or if none is left the one that proposed last, is judged; what others had
        proposed was not seen.

        Args:
            project: project id.
            task_id: the task.
            unchanged: ids of regions that are as they were proposed.
            changed: ids of those that the person changed.
        """
        there = {*unchanged, *changed}
        with self._database.write() as connection:
            told = _read(connection, project, _task(task_id))
            shown = [one for one in told if any(there & set(parts) for parts in one["parts"].values())]
            if not (shown or told):
                return
            seen = (shown or told)[-1]
            for product, parts in seen["parts"].items():
                key = _judged(seen["version"], product)
                before = [one for one in _read(connection, project, key) if one[0] != task_id]
                now: list[tuple[int, float, Outcome]] = [
                    (
                        task_id,
                        score,
                        "kept" if name in unchanged else "corrected" if name in changed else "deleted",
                    )
                    for name, score in parts.items()
                ]
                _write(connection, project, key, [*before, *now][-REMEMBERED:])

    def judged(self, project: str, product: str, version: str) -> list[JudgedPart]:
        """The parts of a version in images of a product that people judged last, the latest last."""
        with self._database.read() as connection:
            rows = _read(connection, project, _judged(version, product))
        return [JudgedPart(float(score), outcome) for _, score, outcome in rows]


def _task(task_id: int) -> str:
    return f"proposed:{task_id}"


def _judged(version: str, product: str) -> str:
    return f"judged:{version}:{product}"


def _read(connection: Connection, project: str, key: str) -> list[Any]:
    found = json.loads(read_value(connection, project, key) or "[]")
    return found if isinstance(found, list) else []


def _write(connection: Connection, project: str, key: str, value: object) -> None:
    write_value(connection, project, key, json.dumps(value))
