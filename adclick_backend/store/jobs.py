"""Jobs: trainings and pushes of predictions, from the moment they are asked for until how they ended."""

from __future__ import annotations

from dataclasses import dataclass
from socket import gethostname
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, insert, select, update

from adclick_backend.store.database import Database
from adclick_backend.store.statements import new_id
from adclick_backend.store.tables import jobs

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
    host: str = ""  # name of the machine that its process runs on; "" before it began

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ACTIVE


_IS_QUEUED = jobs.c.state == "queued"
_IS_RUNNING = jobs.c.state.in_(RUNNING)
_IS_ACTIVE = jobs.c.state.in_(ACTIVE)


class JobTable:
    """Table ``jobs``. A job that has ended never changes again, whoever still reports on it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.disk = database.disk

    # --- reading

    def find(self, job: int) -> Job | None:
        """The job of that number."""
        found = self._select(select(jobs).where(jobs.c.id == job))
        return found[0] if found else None

    def of_project(self, project: str, limit: int = 100) -> list[Job]:
        """The jobs of a project, the newest first."""
        return self._select(
            select(jobs).where(jobs.c.project == project).order_by(jobs.c.id.desc()).limit(limit)
        )

    def next_queued(self, kind: JobKind) -> Job | None:
        """The job of this kind that waits longest."""
        found = self._select(select(jobs).where(jobs.c.kind == kind, _IS_QUEUED).order_by(jobs.c.id).limit(1))
        return found[0] if found else None

    def running(self) -> list[Job]:
        """Every job that a process is said to work on."""
        return self._select(select(jobs).where(_IS_RUNNING).order_by(jobs.c.id))

    # --- from the queue to the end

    def enqueue(self, project: str, kind: JobKind, trigger: str, message: str, *, again: bool = False) -> Job:
        """The active job of this project and kind; a new one when there is none.

        With `again`, a job that runs is not the answer: one more waits for its turn, however often it is asked for.
        """
        answers = _IS_QUEUED if again else _IS_ACTIVE
        with self._database.write() as connection:
            identifier = connection.execute(
                select(jobs.c.id)
                .where(jobs.c.project == project, jobs.c.kind == kind, answers)
                .order_by(jobs.c.id.desc())
                .limit(1)
            ).scalar_one_or_none()
            if identifier is None:
                added = connection.execute(
                    insert(jobs).values(
                        project=project,
                        kind=kind,
                        state="queued",
                        trigger=trigger[:200],
                        message=message,
                        created=self._database.now(),
                    )
                )
                identifier = new_id(added)
        found = self.find(identifier)
        if found is None:  # nothing deletes jobs
            raise LookupError(f"The new job of project {project} is not in the database.")
        return found

    def begin(self, job: int, message: str) -> bool:
        """A queued job starts; False when it was cancelled meanwhile."""
        now = self._database.now()
        return self._update(job, _IS_QUEUED, state="preparing", message=message, started=now, heartbeat=now)

    def set_process(self, job: int, pid: int) -> None:
        """Say which process of this machine works on the job."""
        self._update(job, _IS_RUNNING, pid=pid, host=gethostname())

    def report(
        self, job: int, state: JobState, *, message: str, progress: float, seconds_left: float | None
    ) -> bool:
        """How far the job is. False when it is over or was cancelled: then whoever works on it must stop."""
        self._update(
            job,
            _IS_RUNNING,
            state=state,
            message=message,
            progress=min(max(progress, 0.0), 1.0),
            seconds_left=seconds_left,
            heartbeat=self._database.now(),
        )
        found = self.find(job)
        return found is not None and found.state in RUNNING and not found.cancel

    def end(self, job: int, state: JobState, message: str, *, version: str = "") -> bool:
        """The job is over: done, failed or cancelled. False when it was over already."""
        whole = {"progress": 1.0} if state == "done" else {}
        return self._update(
            job,
            _IS_ACTIVE,
            state=state,
            message=message,
            version=version,
            ended=self._database.now(),
            seconds_left=None,
            pid=None,
            **whole,
        )

    def ask_cancel(self, job: int, message: str) -> bool:
        """A waiting job is cancelled at once, a running one is to stop; False when it is over already."""
        cancelled = self._update(
            job, _IS_QUEUED, state="cancelled", message=message, ended=self._database.now()
        )
        return cancelled or self._update(job, _IS_RUNNING, cancel=1)

    def _update(self, job: int, condition: ColumnElement[bool], **values: Any) -> bool:
        with self._database.write() as connection:
            done = connection.execute(update(jobs).where(jobs.c.id == job, condition).values(**values))
        return done.rowcount > 0

    def _select(self, statement: Select[Any]) -> list[Job]:
        with self._database.read() as connection:
            rows = connection.execute(statement).mappings().all()
        return [Job(**{**row, "cancel": bool(row["cancel"])}) for row in rows]
