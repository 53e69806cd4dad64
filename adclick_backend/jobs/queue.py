"""The queue of jobs: every way to start a training or a push leads here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adclick_backend.jobs.files import JobFiles
from adclick_backend.jobs.notices import JobNotices
from adclick_backend.jobs.runner import PROGRAM, JobRunner
from adclick_backend.settings import Settings
from adclick_backend.store import Job, JobKind, Store

WAITING = "Waiting for its turn."
NEW_LABELS = "labels_since_training"
CANCELLED_WAITING = "Cancelled before it began."


class JobError(LookupError):
    """There is no such job; the message says so."""


class Jobs:
    """Puts jobs in the queue and tells how they are; `runner` works them off, in processes of their own.

    Args:
        store: where jobs are written down.
        settings: of the backend.
        program: command that a job's process runs, without ``--job N``; the real one by default.
    """

    def __init__(self, store: Store, settings: Settings, program: tuple[str, ...] = PROGRAM) -> None:
        self._table = store.jobs
        self._values = store.values
        self._train_every = settings.train_every
        self._files = JobFiles.of(settings)
        self._runner = JobRunner(
            table=store.jobs,
            files=self._files,
            settings=settings,
            locks=store.locks,
            program=program,
            on_lost=JobNotices(store, settings).job_ended,
        )

    def start(self) -> None:
        """Start the runner, once in each process."""
        self._runner.start()

    def stop(self) -> None:
        """End the runner, and with it the job that it watches over."""
        self._runner.stop()

    def enqueue(self, project: str, kind: JobKind, trigger: str, *, again: bool = False) -> Job:
        """Ask for a job. While one of that kind waits or runs for the project, that one is the answer.

        Args:
            project: project id.
            kind: ``"train"``, ``"push"`` to send predictions to Label Studio, ``"masks"`` to compute those whose key
                points alone were submitted, ``"report"`` on the version that serves, ``"normal"`` to mark tasks,
                ``"prepare"`` to prepare all images, ``"alike"`` to look in them for what is like some masks,
                ``"generate"`` to paint defects on references, or ``"points"`` to measure what thresholds do.
            trigger: who asked, for a person.
            again: something came that a running job may not have seen, so one more is to follow it; only one,
                however often it is asked for. A training that finds nothing new ends at once.
        """
        job = self._table.enqueue(project, kind, trigger, WAITING, again=again)
        self._runner.wake()
        return job

    def count_label(self, project: str) -> Job | None:
        """A label came in or changed; after every ``ADCLICK_TRAIN_EVERY`` of them a training starts by itself."""
        if not self._train_every:
            return None
        if self._values.add(project, NEW_LABELS, 1) < self._train_every:
            return None
        self._values.set(project, NEW_LABELS, "0")
        return self.enqueue(project, "train", f"{self._train_every} new labels", again=True)

    def cancel(self, project: str, job_id: int) -> bool:
        """Ask a job to end; it does within seconds. False when it was over already.

        Raises:
            JobError: the project has no such job.
        """
        self.get(project, job_id)
        cancelled = self._table.ask_cancel(job_id, CANCELLED_WAITING)
        self._runner.wake()
        return cancelled

    def get(self, project: str, job_id: int) -> Job:
        """One job of the project.

        Raises:
            JobError: the project has no such job.
        """
        found = self._table.find(job_id)
        if found is None or found.project != project:
            raise JobError(f"Project {project} has no job {job_id}.")
        return found

    def of_project(self, project: str) -> list[Job]:
        """The last hundred jobs of a project, the newest first."""
        return self._table.of_project(project)

    def under_way(self, project: str, kind: JobKind) -> bool:
        """Whether a job of that kind waits or runs."""
        return any(job.kind == kind and job.active for job in self.of_project(project))

    def log(self, project: str, job_id: int) -> str:
        """What the job's process wrote, the end of it when that is much.

        Raises:
            JobError: the project has no such job.
        """
        return self._files.log(project, self.get(project, job_id).id)

    def curve(self, project: str, job_id: int) -> list[dict[str, Any]]:
        """Points with ``seconds``, ``progress``, ``state`` and, where there are any, ``loss`` and metrics.

        Raises:
            JobError: the project has no such job.
        """
        return self._files.curve(project, self.get(project, job_id).id)

    def folder(self, project: str, job_id: int) -> Path:
        """Where the job keeps its files.

        Raises:
            JobError: the project has no such job.
        """
        return self._files.folder(project, self.get(project, job_id).id)
