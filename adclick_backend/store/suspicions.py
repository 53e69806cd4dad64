"""What messages said that can neither be believed nor read back: a person is told, and nothing else is done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

from adclick_backend.store.projects import KeyValueTable

_KEY = "suspicion"


@dataclass(frozen=True)
class Suspicion:
    """Labels that somebody says were deleted or changed.

    Attributes:
        tasks: whose labels, at most `Suspicions.MOST`.
        at: when that was said last, Unix seconds.
    """

    tasks: tuple[int, ...]
    at: float


class Suspicions:
    """One suspicion a project, kept among its values."""

    MOST = 1000  # tasks of each project

    def __init__(self, values: KeyValueTable) -> None:
        self._values = values

    def of(self, project: str) -> Suspicion | None:
        """The suspicion of the project, if there is one."""
        kept = json.loads(self._values.get(project, _KEY) or "{}")
        return Suspicion(tuple(kept["tasks"]), kept["at"]) if kept else None

    def add(self, project: str, tasks: Iterable[int]) -> None:
        """Somebody says that the labels of these tasks were deleted or changed."""
        known = self.of(project)
        named = dict.fromkeys([*(known.tasks if known else ()), *tasks])
        self._values.set(project, _KEY, json.dumps({"tasks": list(named)[: self.MOST], "at": time.time()}))

    def clear(self, project: str) -> None:
        """Label Studio was read since, or a person says that there is nothing in it."""
        if self._values.get(project, _KEY):
            self._values.set(project, _KEY, "")
