"""Label Studio projects that this backend was connected to, and their key-value store."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, select

from adclick_backend.config.xml import MAX_CHARACTERS
from adclick_backend.errors import ProjectIdError
from adclick_backend.logs import hide
from adclick_backend.store.database import Database
from adclick_backend.store.disk import DiskError
from adclick_backend.store.statements import insert_into, upsert
from adclick_backend.store.tables import key_values, projects

_PROJECT = re.compile(r"([0-9]{1,18})(?:\.[0-9]{1,18})?")


def project_id(value: object) -> str:
    """The id of a Label Studio project, safe to use in a path.

    `value` is what Label Studio sends: ``"1.1795338618"`` (the id, a dot, when the project was created),
    ``"1"`` or the number 1.

    Raises:
        ProjectIdError: for anything else, ``"../x"`` for one.
    """
    match = _PROJECT.fullmatch(str(value)) if isinstance(value, (str, int)) and value is not True else None
    if match is None:
        shown = repr(value)[:60]
        raise ProjectIdError(f"A project id is a number such as 1 or 1.1795338618, not {shown}.")
    return match[1]


@dataclass(frozen=True)
class Project:
    """What Label Studio told about one project."""

    id: str
    created: str = ""  # Unix seconds, as in /setup; tells two projects with the same id apart
    title: str = ""
    hostname: str = ""
    token: str = field(default="", repr=False)
    label_config: str = ""
    extra_params: str = ""  # JSON
    updated: float = 0.0  # Unix seconds


FRESH_S = 0.2
"""What was read so long ago is read again: a request asks for its project six times."""

_OF_ID = select(projects).where(projects.c.id == bindparam("of"))


class ProjectTable:
    """Table ``projects``. Every token that passes through here stays out of this process's log lines from then on.

    What cannot be written down, because the disk is full say, is kept in memory until it can: Label Studio goes on.
    """

    FIELDS = ("created", "title", "hostname", "token", "label_config", "extra_params")

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._unwritten: dict[str, dict[str, str]] = {}  # the changed fields by project
        self._just_read: dict[str, tuple[float, Project]] = {}  # when, monotonic seconds, and what was found

    def get(self, project: str) -> Project:
        """The project, as it was a moment ago at most; an empty one when it was never heard of."""
        known = self._just_read.get(project)
        if known is not None and time.monotonic() - known[0] < FRESH_S:
            return self._completed(known[1])
        return self._read(project)

    def all(self) -> list[Project]:
        """Every project, the one heard of last first."""
        with self._database.read() as connection:
            rows = (
                connection.execute(select(projects).order_by(projects.c.updated.desc(), projects.c.id))
                .mappings()
                .all()
            )
        found = [self._completed(_project(row)) for row in rows]
        with self._lock:
            new = self._unwritten.keys() - {project.id for project in found}
        return [*(self._completed(Project(project)) for project in sorted(new)), *found]

    def save(self, project: str, **changes: str) -> Project:
        """Set the given fields of the project and return what was known before.

        Nothing is written when nothing changes: Label Studio repeats itself with every request.
        """
        unknown = set(changes) - set(self.FIELDS)
        if unknown:
            raise TypeError(f"A project has no {sorted(unknown)}")
        hide(changes.get("token", ""))
        if "label_config" in changes:  # so much of it as shows that it is too long
            changes["label_config"] = changes["label_config"][: MAX_CHARACTERS + 1]
        before = self._read(project)
        with self._lock:
            waiting = self._unwritten.get(project, {})
        known = before.updated and all(getattr(before, name) == value for name, value in changes.items())
        if known and not waiting:
            return before
        try:
            self._write(project, {**waiting, **changes})
        except DiskError:
            with self._lock:
                self._unwritten[project] = {**waiting, **changes}
        else:
            with self._lock:
                self._unwritten.pop(project, None)
        self._just_read.pop(project, None)
        return before

    def write_down(self) -> None:
        """Write down what could not be before; raises DiskError when it still cannot."""
        with self._lock:
            waiting = dict(self._unwritten)
        for project, changes in waiting.items():
            self._write(project, changes)
            with self._lock:
                if self._unwritten.get(project) == changes:
                    del self._unwritten[project]

    def forget(self, project: str) -> None:
        """The project was removed: nothing of it is known here either, and what could not be written is not to be."""
        with self._lock:
            self._unwritten.pop(project, None)
        self._just_read.pop(project, None)

    def _read(self, project: str) -> Project:
        with self._database.read() as connection:
            row = connection.execute(_OF_ID, {"of": project}).mappings().one_or_none()
        found = _project(row) if row else Project(project)
        self._just_read[project] = time.monotonic(), found
        return self._completed(found)

    def _completed(self, project: Project) -> Project:
        """The project with what could not be written down."""
        with self._lock:
            changes = self._unwritten.get(project.id)
        return project if changes is None else replace(project, updated=self._database.now(), **changes)

    def _write(self, project: str, changes: dict[str, str]) -> None:
        values: dict[str, Any] = {"id": project, "updated": self._database.now(), **changes}
        with self._database.write() as connection:
            upsert(connection, projects, values)
        self._just_read.pop(project, None)


def _project(row: RowMapping) -> Project:
    project = Project(**row)
    hide(project.token)
    return project


class KeyValueTable:
    """Table ``key_values``: the strings behind label-studio-ml's ``get``, ``set`` and ``has``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, project: str, key: str) -> str | None:
        """The value, or None."""
        with self._database.read() as connection:
            return read_value(connection, project, key)

    def set(self, project: str, key: str, value: str) -> None:
        """Keep the value."""
        with self._database.write() as connection:
            write_value(connection, project, key, value)

    def set_if_possible(self, project: str, key: str, value: str) -> bool:
        """Keep a value that nobody misses much; False when the data folder cannot be written."""
        try:
            self.set(project, key, value)
        except DiskError:
            return False
        return True

    def add(self, project: str, key: str, amount: int) -> int:
        """Add to the whole number that is kept, 0 at first; answer the sum."""
        with self._database.write() as connection:
            total = int(read_value(connection, project, key) or 0) + amount
            write_value(connection, project, key, str(total))
        return total

    def change(self, project: str, key: str, work: Callable[[str | None], str]) -> None:
        """Keep what `work` makes of the value, None when there is none; nobody else changes it meanwhile."""
        with self._database.write() as connection:
            write_value(connection, project, key, work(read_value(connection, project, key)))

    def get_or_add(self, project: str, key: str, value: str) -> str:
        """The value that is there; `value`, kept from now on, when there was none."""
        with self._database.write() as connection:
            connection.execute(
                insert_into(connection.dialect.name, key_values)
                .values(project=project, key=key, value=value)
                .on_conflict_do_nothing()
            )
        return self.get(project, key) or value


_VALUE = select(key_values.c.value).where(
    key_values.c.project == bindparam("project"), key_values.c.key == bindparam("key")
)


def read_value(connection: Connection, project: str, key: str) -> str | None:
    """The value, or None; inside a block of `Database`."""
    return connection.execute(_VALUE, {"project": project, "key": key}).scalar_one_or_none()


def write_value(connection: Connection, project: str, key: str, value: str) -> None:
    """Keep the value; inside a `Database.write` block."""
    upsert(connection, key_values, {"project": project, "key": key, "value": value})
