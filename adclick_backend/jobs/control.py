"""What the process of a job says of itself, and how it hears that it should stop."""

from __future__ import annotations

import time
from collections.abc import Mapping

from adclick_backend.jobs.files import JobFiles
from adclick_backend.store import Job, JobState, Store

QUIET_S = 0.5
"""Seconds between two reports that are written down; a trainer reports each step."""


class JobCancelled(Exception):
    """Somebody cancelled the job, or it was given up: stop."""


class JobTaken(Exception):
    """Another process does the job by now, because this one was taken for dead: stop, and write nothing down."""


class JobFailed(RuntimeError):
    """The job cannot go on; the message says why and what to do, for a person."""


class JobControl:
    """Progress of one job, from inside its process.

    Args:
        store: where jobs are written down.
        files: where their curves are.
        job: the job.
        holder: what the job's `pid` has to be for this process to go on; None: whatever it is.
    """

    def __init__(self, store: Store, files: JobFiles, job: Job, holder: int | None = None) -> None:
        self.job = job
        self._holder = holder
        self._table = store.jobs
        self._files = files
        self._said = ("", 0.0)  # the state, and when it was written down
        self._stopped = False
        self._began = time.monotonic()

    def report(
        self,
        message: str,
        progress: float,
        state: JobState = "evaluating",
        *,
        loss: float | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Say how far the job is; most calls in quick succession cost nothing.

        Args:
            message: a sentence for a person.
            progress: share of the whole job that is done, in [0, 1].
            state: ``"preparing"``, ``"training"`` or ``"evaluating"``.
            loss: of the step, for the curve.
            metrics: by name, for the curve.

        Raises:
            JobCancelled: the job is to stop.
            JobTaken: another process does the job.
        """
        self._check_holder()
        now = time.monotonic()
        if metrics or state != self._said[0] or now - self._said[1] >= QUIET_S:
            self._said = state, now
            seconds = now - self._began
            left = seconds * (1 - progress) / progress if progress > 0.02 and seconds > 2 else None
            self._stopped = not self._table.report(
                self.job.id, state, message=message, progress=progress, seconds_left=left
            )
            if loss is not None or metrics:
                point = {"seconds": round(seconds, 1), "progress": round(progress, 4), "state": state}
                if loss is not None:
                    point["loss"] = loss
                self._files.add_to_curve(self.job.project, self.job.id, {**point, **(metrics or {})})
        if self._stopped:
            raise JobCancelled

    def hand_over(self, holder: int) -> None:
        """From now on the process that was told this number does the job, and none before it."""
        self._table.set_process(self.job.id, holder)

    def _check_holder(self) -> None:
        if self._holder is not None:
            found = self._table.find(self.job.id)
            if found is not None and found.active and found.pid != self._holder:
                raise JobTaken

    def cancelled(self) -> bool:
        """Whether the job is to stop, as of its last report."""
        return self._stopped
