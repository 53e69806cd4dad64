"""Where the objects that are being clicked are kept when several machines answer the clicks."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from socket import gethostname

from sqlalchemy import Connection, delete, func, not_, select, update

from adclick_backend.store.clicked_meanwhile import ClickedMeanwhile, Touched
from adclick_backend.store.clicked_objects import MAX_OBJECTS, SLACK_S, ClickedRow, Decide
from adclick_backend.store.database import Database
from adclick_backend.store.disk import DiskError
from adclick_backend.store.statements import upsert
from adclick_backend.store.tables import clicked_objects

log = logging.getLogger(__name__)

_OBJECT = clicked_objects.c


class ClickedInDatabase:
    """Kept in the database, so that whichever backend a click comes to, it knows the clicks before it.

    While the database is away, what this process knew last takes its place, and is given back when it is there again.

    Args:
        database: which several machines share; its clock counts.
        ttl_s: seconds after which an object that is no longer clicked is forgotten.
        host: name of this machine.
    """

    MEANWHILE_S = 3.0  # between two tries while the database is known to be away

    def __init__(self, database: Database, *, ttl_s: float, host: str = "") -> None:
        self._database = database
        self._ttl_s = ttl_s
        self._host = host or gethostname()
        self._meanwhile = ClickedMeanwhile(ttl_s)
        self._guard = threading.Lock()  # of `_meanwhile`
        self._again = 0.0  # monotonic seconds: when the database is tried again

    def change(self, project: str, task: str, decide: Decide, now: float | None = None) -> None:
        """See `ClickedObjects.change`."""
        moment = self._database.now() if now is None else now
        try:
            self._ask_now()
            with self._database.write() as connection:
                known = self._objects(connection, project, task, moment)
                row = decide([one.row for one in known], moment)
                if row is not None:
                    known = self._save(connection, project, task, known, row, moment)
        except DiskError as error:
            with self._guard:
                self._note(error)
                self._meanwhile.change(project, task, decide, moment)
            return
        with self._guard:
            self._meanwhile.saw(project, task, known)

    def answer(self, project: str, task: str, region_id: str, bbox: str) -> None:
        """See `ClickedObjects.answer`."""
        now = self._database.now()
        try:
            self._ask_now()
            with self._database.write() as connection:
                connection.execute(
                    update(clicked_objects)
                    .where(_OBJECT.project == project, _OBJECT.task == task, _OBJECT.region_id == region_id)
                    .values(bbox=bbox, answered=now)
                )
        except DiskError as error:
            with self._guard:
                self._note(error)
                self._meanwhile.answer(project, task, region_id, bbox, now)
            return
        with self._guard:
            self._meanwhile.answer(project, task, region_id, bbox, now, known=True)

    def since_last(self) -> float:
        """See `ClickedObjects.since_last`."""
        newest = select(func.max(_OBJECT.touched)).where(_OBJECT.host == self._host)
        try:
            with self._database.read() as connection:
                touched = connection.execute(newest).scalar()
        except DiskError:
            return math.inf
        return math.inf if touched is None else abs(self._database.now() - float(touched))

    def forget(self, project: str, task: str | None = None) -> None:
        """See `ClickedObjects.forget`."""
        try:
            self._ask_now()
            with self._database.write() as connection:
                _delete(connection, project, task)
        except DiskError as error:
            with self._guard:
                self._note(error)
                self._meanwhile.forget(project, task)
            return
        with self._guard:
            self._meanwhile.forget(project, task, known=True)

    def give_back(self) -> None:
        """Bring the database what came in while it was away; raises DiskError when it still is."""
        with self._guard:
            if not self._meanwhile:
                return
            with self._database.write() as connection:
                for project, task in self._meanwhile.forgotten():
                    _delete(connection, project, task)
                for project, task, one in self._meanwhile.changed():
                    self._write(connection, project, task, one, _turn_after(connection, project, task))
            self._meanwhile.given_back()

    def _ask_now(self) -> None:
        """Raise DiskError when asking the database is of no use now; give back what came in when it is."""
        if self._database.disk.problem and time.monotonic() < self._again:
            raise DiskError(self._database.disk.problem)
        self.give_back()

    def _note(self, error: DiskError) -> None:
        if time.monotonic() >= self._again:
            log.warning("What is being clicked is remembered by this process alone. %s", error)
            self._again = time.monotonic() + self.MEANWHILE_S

    def _objects(self, connection: Connection, project: str, task: str, now: float) -> list[Touched]:
        """The objects of a task, the one clicked last first; forgets what is to be forgotten of all tasks."""
        forget = not_(_OBJECT.touched.between(now - self._ttl_s, now + SLACK_S))
        connection.execute(delete(clicked_objects).where(forget))
        found = connection.execute(
            select(_OBJECT.region_id, _OBJECT.state, _OBJECT.bbox, _OBJECT.answered, _OBJECT.touched)
            .where(_OBJECT.project == project, _OBJECT.task == task)
            .order_by(_OBJECT.turn.desc())
        )
        return [Touched(ClickedRow(*row[:4]), row.touched) for row in found]

    def _save(
        self,
        connection: Connection,
        project: str,
        task: str,
        known: Sequence[Touched],
        row: ClickedRow,
        now: float,
    ) -> list[Touched]:
        """Keep an object as the one clicked last and not yet answered; the objects that there are then."""
        saved = Touched(row._replace(answered=None), now)
        self._write(connection, project, task, saved, _turn_after(connection, project, task))
        others = [one for one in known if one.row.region_id != row.region_id]
        for one in others[MAX_OBJECTS - 1 :]:
            gone = _OBJECT.region_id == one.row.region_id
            connection.execute(
                delete(clicked_objects).where(_OBJECT.project == project, _OBJECT.task == task, gone)
            )
        return [saved, *others[: MAX_OBJECTS - 1]]

    def _write(self, connection: Connection, project: str, task: str, one: Touched, turn: int) -> None:
        values = {"project": project, "task": task, **one.row._asdict()}
        upsert(connection, clicked_objects, {**values, "touched": one.at, "turn": turn, "host": self._host})


def _turn_after(connection: Connection, project: str, task: str) -> int:
    """A number above those of all objects of a task: nobody else writes meanwhile."""
    last = select(func.max(_OBJECT.turn)).where(_OBJECT.project == project, _OBJECT.task == task)
    return (connection.execute(last).scalar() or 0) + 1


def _delete(connection: Connection, project: str, task: str | None) -> None:
    wanted = delete(clicked_objects).where(_OBJECT.project == project)
    connection.execute(wanted if task is None else wanted.where(_OBJECT.task == task))
