"""Jobs: trainings and pushes of predictions, from the moment they are asked for until how they ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from adclick_backend.store.database import Database

JobKind = Literal["train", "push", "masks", "report", "normal", "prepare", "alike", "generate", "points"]
JobState = Literal["queued", "preparing", "training", "evaluating", "done", "failed", "cancelled"]

RUNNING: tuple[JobState, ...] = ("preparing", "training", "evaluating")
ACTIVE: tuple[JobState, ...] = ("queued", *RUNNING)


@dataclass(frozen=True)
class Job:
    """One job as it stands."""

    id: int
    project: str
    kind: JobKind
    state: JobState
    trigger: str  # who asked: "Start Training in Label Studio", "dashboard" ...
    message: str  # a sentence for a person: what happens, or how it ended
    progress: float  # share that is done, in [0, 1]
    seconds_left: float | None  # None: not known yet
    version: str  # that came out of it, such as "v4"; "" when none did
    pid: int | None  # of its process, and of that process's group
    heartbeat: float | None  # Unix seconds; when its process last said something, by a clock that may be set
    cancel: bool  # somebody asked for its end
    created: float  # Unix seconds, as the next two
    started: float | None
    ended: float | None

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ACTIVE


_COLUMNS = tuple(column.name for column in fields(Job))
_IS_RUNNING = f"state IN {RUNNING}"
_IS_ACTIVE = f"state IN {ACTIVE}"


class JobTable:
    """Table ``jobs``. A job that has ended never changes again, whoever still reports on it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.disk = database.disk

    # --- reading

    def find(self, job: int) -> Job | None:
        """The job of that number."""
        found = self._select("id = ?", (job,))
        return found[0] if found else None

    def of_project(self, project: str, limit: int = 100) -> list[Job]:
        """The jobs of a project, the newest first."""
        return self._select("project = ? ORDER BY id DESC LIMIT ?", (project, limit))

    def next_queued(self, kind: JobKind) -> Job | None:
        """The job of this kind that waits longest."""
        found = self._select("kind = ? AND state = 'queued' ORDER BY id LIMIT 1", (kind,))
        return found[0] if found else None

    def running(self) -> list[Job]:
        """Every job that a process is said to work on."""
        return self._select(f"{_IS_RUNNING} ORDER BY id", ())

    # --- from the queue to the end

    def enqueue(self, project: str, kind: JobKind, trigger: str, message: str, *, again: bool = False) -> Job:
        """The active job of this project and kind; a new one when there is none.

        With `again`, a job that runs is not the answer: one more waits for its turn, however often it is asked for.
        """
        answers = "state = 'queued'" if again else _IS_ACTIVE
        with self._database.write() as connection:
            known = connection.execute(
                f"SELECT id FROM jobs WHERE project = ? AND kind = ? AND {answers} ORDER BY id DESC",  # noqa: S608  (constants)
                (project, kind),
            ).fetchone()
            identifier = (
                int(known["id"])
                if known
                else connection.execute(
                    "INSERT INTO jobs (project, kind, state, trigger, message, created) "
                    "VALUES (?, ?, 'queued', ?, ?, ?)",
                    (project, kind, trigger[:200], message, time.time()),
                ).lastrowid
            )
        found = self.find(int(identifier or 0))
        if found is None:  # nothing deletes jobs
            raise LookupError(f"The new job of project {project} is not in the database.")
        return found

    def begin(self, job: int, message: str) -> bool:
        """A queued job starts; False when it was cancelled meanwhile."""
        now = time.time()
        return self._update(
            "state = 'preparing', message = ?, started = ?, heartbeat = ?",
            (message, now, now),
            "id = ? AND state = 'queued'",
            job,
        )

    def set_process(self, job: int, pid: int) -> None:
        """Say which process works on the job."""
        self._update("pid = ?", (pid,), f"id = ? AND {_IS_RUNNING}", job)

    def report(
        self, job: int, state: JobState, *, message: str, progress: float, seconds_left: float | None
    ) -> bool:
        """How far the job is. False when it is over or was cancelled: then whoever works on it must stop."""
        self._update(
            "state = ?, message = ?, progress = ?, seconds_left = ?, heartbeat = ?",
            (state, message, min(max(progress, 0.0), 1.0), seconds_left, time.time()),
            f"id = ? AND {_IS_RUNNING}",
            job,
        )
        found = self.find(job)
        return found is not None and found.state in RUNNING and not found.cancel

    def end(self, job: int, state: JobState, message: str, *, version: str = "") -> bool:
        """The job is over: done, failed or cancelled. False when it was over already."""
        return self._update(
            "state = ?, message = ?, version = ?, ended = ?, seconds_left = NULL, pid = NULL, "
            "progress = CASE WHEN ? = 'done' THEN 1 ELSE progress END",
            (state, message, version, time.time(), state),
            f"id = ? AND {_IS_ACTIVE}",
            job,
        )

    def ask_cancel(self, job: int, message: str) -> bool:
        """A waiting job is cancelled at once, a running one is to stop; False when it is over already."""
        cancelled = self._update(
            "state = 'cancelled', message = ?, ended = ?",
            (message, time.time()),
            "id = ? AND state = 'queued'",
            job,
        )
        return cancelled or self._update("cancel = ?", (1,), f"id = ? AND {_IS_RUNNING}", job)

    def _update(self, change: str, values: Sequence[Any], where: str, job: int) -> bool:
        with self._database.write() as connection:
            done = connection.execute(f"UPDATE jobs SET {change} WHERE {where}", (*values, job))  # noqa: S608
        return done.rowcount > 0

    def _select(self, where: str, values: Sequence[Any]) -> list[Job]:
        statement = f"SELECT {', '.join(_COLUMNS)} FROM jobs WHERE {where}"  # noqa: S608  (constants)
        with self._database.read() as connection:
            rows = connection.execute(statement, values).fetchall()
        return [Job(**{**row, "cancel": bool(row["cancel"])}) for row in rows]
