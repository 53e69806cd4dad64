"""What is being clicked while the database is away: in the memory of this process, and given back afterwards."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from adclick_backend.store.clicked_objects import MAX_OBJECTS, ClickedRow, Decide

MOST_TASKS = 1000

Task = tuple[str, str]  # project, and what clicks on an image of a task are remembered under


class Touched(NamedTuple):
    """An object and when it was clicked last, seconds of the database's clock."""

    row: ClickedRow
    at: float


class ClickedMeanwhile:
    """The objects of the tasks that this process saw last, as they were or as they became. Not safe between threads.

    Args:
        ttl_s: seconds after which an object that is no longer clicked is forgotten.
    """

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._seen: OrderedDict[Task, dict[str, Touched]] = (
            OrderedDict()
        )  # the object clicked last at the end
        self._changed: dict[Task, set[str]] = {}
        self._forgotten: dict[tuple[str, str | None], None] = {}

    def __bool__(self) -> bool:
        """Whether there is something to give back."""
        return bool(self._changed or self._forgotten)

    def saw(self, project: str, task: str, objects: Iterable[Touched]) -> None:
        """The database has these objects of a task, the one clicked last first."""
        self._keep((project, task), {one.row.region_id: one for one in reversed(list(objects))})

    def change(self, project: str, task: str, decide: Decide, now: float) -> None:
        """See `ClickedObjects.change`."""
        objects = {
            name: one
            for name, one in self._seen.get((project, task), {}).items()
            if now - self._ttl_s <= one.at
        }
        row = decide([one.row for one in reversed(objects.values())], now)
        if row is not None:
            objects.pop(row.region_id, None)
            objects[row.region_id] = Touched(row._replace(answered=None), now)
            self._keep((project, task), dict(list(objects.items())[-MAX_OBJECTS:]))
            self._changed.setdefault((project, task), set()).add(row.region_id)

    def answer(
        self, project: str, task: str, region_id: str, bbox: str, now: float, *, known: bool = False
    ) -> None:
        """See `ClickedObjects.answer`; `known`: the database has it."""
        objects = self._seen.get((project, task), {})
        if (one := objects.get(region_id)) is None:
            return
        objects[region_id] = one._replace(row=one.row._replace(bbox=bbox, answered=now))
        if not known:
            self._changed.setdefault((project, task), set()).add(region_id)

    def forget(self, project: str, task: str | None = None, *, known: bool = False) -> None:
        """See `ClickedObjects.forget`; `known`: the database has forgotten them."""
        for mine in [one for one in self._seen if one[0] == project and task in (None, one[1])]:
            del self._seen[mine]
            self._changed.pop(mine, None)
        if not known:
            self._forgotten[project, task] = None

    def forgotten(self) -> Iterator[tuple[str, str | None]]:
        """The tasks, and the projects with None in the place of the task, of which nothing older is to stay."""
        yield from self._forgotten

    def changed(self) -> Iterator[tuple[str, str, Touched]]:
        """Project, task and object of what was clicked or answered, of each task the object clicked last at the end."""
        for (project, task), names in self._changed.items():
            for name, one in self._seen.get((project, task), {}).items():
                if name in names:
                    yield project, task, one

    def given_back(self) -> None:
        """The database has all of it."""
        self._changed.clear()
        self._forgotten.clear()

    def _keep(self, task: Task, objects: dict[str, Touched]) -> None:
        self._seen[task] = objects
        self._seen.move_to_end(task)
        for old in [one for one in self._seen if one not in self._changed][:-MOST_TASKS]:
            del self._seen[old]
