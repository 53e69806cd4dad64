"""The thread that works off the queue of jobs, each in a process of its own."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import get_args

from adclick_backend.files import private
from adclick_backend.jobs.files import JobFiles
from adclick_backend.locked_thread import LockedThread
from adclick_backend.settings import Settings
from adclick_backend.store import DiskError, Job, JobKind
from adclick_backend.store.jobs import JobTable
from adclick_backend.store.locks import Locks

log = logging.getLogger(__name__)

_MAIN = "from adclick_backend.workers.process import main; sys.exit(main())"
# With the module path of this process, so that a job finds the packages that serve: `-m` would look into the current
# folder first.
PROGRAM = (sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {_MAIN}")
LOCK = "jobs"
"""Held by the process that runs jobs."""

CANNOT_WRITE = os.EX_IOERR
"""Exit status of a job's process that could not even write down how its job ended."""
TRY_AGAIN = os.EX_TEMPFAIL
"""Exit status of a job's process whose job is to be started again: what it leaned on went away."""
STARTS = 10
"""How often a job is started at most."""

STOPPED, LOST = (
    f"{what} Nothing that was labelled is lost, and the version before still serves; start it again."
    for what in (
        "The backend was stopped while this job ran.",
        "The database was away while this job ran, and another backend may have taken over.",
    )
)
"""How a job ended that its runner ended, in words."""

KINDS: tuple[JobKind, ...] = get_args(JobKind)


@dataclass
class _Process:
    """A job that runs."""

    job: Job
    process: subprocess.Popen[bytes]
    starts: int = 1
    kill_at: float | None = None  # monotonic seconds
    last_word: float | None = None  # the heartbeat that was seen last
    heard_at: float = 0.0  # when it was seen first, monotonic seconds: neither a set clock nor a sleep counts

    def silent_s(self, heartbeat: float | None, now: float) -> float:
        """Seconds since the process said something, as seen from here."""
        if heartbeat != self.last_word or not self.heard_at:
            self.last_word, self.heard_at = heartbeat, now
        return now - self.heard_at

    def kill(self) -> None:
        """End the process and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


class JobRunner(LockedThread):
    """Starts the process of a queued job, watches over it, and writes down how it ended when the process cannot.

    One training and one push run at a time, whatever the number of projects: clicks need the processor. Of several
    worker processes the one that holds the lock runs jobs. A job's process holds the other end of a pipe from
    here and ends when that closes, so that none outlives its runner; the next runner finds the job unfinished and
    fails it, in words.

    Args:
        table: where jobs are written down.
        files: where they keep what they write.
        settings: handed on to the processes.
        locks: where the lock is.
        program: command of a job's process, to which ``--job N`` is added. It reads the settings, as one line of
            JSON, from standard input, and lives until that closes.
        poll_s: seconds between looks for jobs that another process asked for.
        silence_s: seconds without a word after which a job is given up.
        grace_s: seconds that a cancelled job has to end by itself.
        clock: seconds that no setting of the clock and no sleep of the machine touches.
        on_lost: told, in a thread of its own, of a job whose process could not say itself how it ended.
    """

    def __init__(
        self,
        *,
        table: JobTable,
        files: JobFiles,
        settings: Settings,
        locks: Locks,
        program: tuple[str, ...] = PROGRAM,
        poll_s: float = 0.5,
        silence_s: float = 900.0,
        grace_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        on_lost: Callable[[Job], None] = lambda job: None,
    ) -> None:
        super().__init__("job-runner", locks, LOCK, poll_s)
        self._on_lost = on_lost
        self._table = table
        self._files = files
        self._settings = settings
        self._program = program
        self._silence_s = silence_s
        self._grace_s = grace_s
        self._clock = clock
        self._running: dict[JobKind, _Process] = {}
        self._is_new = True  # there may be jobs of a runner before this one

    def _begin(self) -> None:
        self._is_new = True

    def _turn(self) -> bool:
        self._safely(self._step)
        return False

    def _end(self, *, lost: bool) -> None:
        """End the jobs that run; what cannot be written down of them, the next runner writes."""
        for running in list(self._running.values()):
            self._safely(lambda running=running: self._settle(running, LOST if lost else STOPPED))  # type: ignore[misc]
        self._running.clear()

    def _safely(self, work: Callable[[], None]) -> None:
        """Do it; the thread has to live on when that fails."""
        try:
            work()
        except DiskError:  # it is said elsewhere, and tried again at the next turn
            return
        except Exception:
            log.exception("The jobs could not be worked on")

    def _give_up_orphans(self) -> None:
        """End the jobs of the runner before, whose processes ended with it."""
        for job in self._table.running():
            self._table.end(
                job.id,
                "failed",
                f"The backend was stopped or killed while this job was {job.state} ({job.progress:.0%} done). "
                "Nothing that was labelled is lost, and the version before still serves; start it again.",
            )
            self._files.clear(job)
        self._is_new = False

    def _step(self) -> None:
        if self._is_new:
            self._give_up_orphans()
        for kind in KINDS:
            if kind in self._running:
                self._watch(self._running[kind])
            if kind in self._running or self._table.disk.problem:
                continue
            if job := self._table.next_queued(kind):
                self._launch(job)

    def _launch(self, job: Job) -> None:
        if not self._table.begin(job.id, "Starting."):
            return
        try:
            process = self._spawn(job)
        except OSError as error:
            self._table.end(job.id, "failed", f"The process of the job could not be started: {error}.")
            return
        self._running[job.kind] = _Process(job, process)
        self._table.set_process(job.id, process.pid)
        log.info("Job %s of project %s (%s) runs in process %s", job.id, job.project, job.kind, process.pid)

    def _spawn(self, job: Job) -> subprocess.Popen[bytes]:
        environment = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
        environment |= job_environment(self._settings)
        path = self._files.log_path(job.project, job.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with private(path).open("ab") as output:
            process = subprocess.Popen(  # noqa: S603  (our own program)
                [*self._program, "--job", str(job.id)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        settings = self._settings.model_copy(update={"prometheus_multiproc_dir": None})
        if process.stdin is not None:
            with suppress(BrokenPipeError):  # it died at once; `_watch` says so
                process.stdin.write(settings.model_dump_json().encode() + b"\n")
                process.stdin.flush()
        return process

    def _watch(self, running: _Process) -> None:
        """See whether a job ended, was cancelled, or hangs."""
        job = self._table.find(running.job.id)
        code = running.process.poll()
        self._files.copy(running.job.project, running.job.id)
        if code == TRY_AGAIN and job is not None and job.active and not job.cancel:
            self._start_again(running)
        elif job is None or code is not None:
            self._settle(running, how_it_died(code))
        elif job.cancel or not job.active:  # it is told to stop, or its last words are written down
            running.kill_at = running.kill_at or self._clock() + self._grace_s
        elif running.silent_s(job.heartbeat, self._clock()) > self._silence_s:
            minutes = self._silence_s / 60
            self._settle(
                running, f"It said nothing for {minutes:.0f} minutes and was ended. Its log may say why."
            )
        if running.kill_at is not None and self._clock() > running.kill_at:
            self._settle(running, "It did not stop when it was told to, and was ended.")

    def _start_again(self, running: _Process) -> None:
        """What the process leaned on went away: a new one waits until it is back."""
        running.kill()
        if running.starts == STARTS:
            self._settle(running, f"What it needs went away {STARTS} times; its log may say why.")
            return
        try:
            running.process = self._spawn(running.job)
        except OSError as error:
            self._settle(running, f"The process of the job could not be started again: {error}.")
            return
        running.starts += 1
        self._table.set_process(running.job.id, running.process.pid)

    def _settle(self, running: _Process, reason: str) -> None:
        """Make sure that the process is gone and that the job is over, for this reason unless it gave its own."""
        running.kill()
        job = self._table.find(running.job.id)
        if job is not None and job.cancel:
            self._table.end(job.id, "cancelled", "Cancelled.")
        elif self._table.end(running.job.id, "failed", reason):
            self._tell_lost(running.job.id)
        self._files.copy(running.job.project, running.job.id, over=True)
        self._files.clear(running.job)
        self._running.pop(running.job.kind, None)

    def _tell_lost(self, number: int) -> None:
        """Nobody else says that the job is over; whoever is told may take a while."""
        if (job := self._table.find(number)) is not None:
            tell = partial(self._safely, partial(self._on_lost, job))
            threading.Thread(target=tell, name="job-lost", daemon=True).start()


def job_words(job: int) -> list[str]:
    """Arguments of a Python interpreter, on a machine where the backend is installed, that do a job there."""
    return ["-c", f"import sys; {_MAIN}", "--job", str(job)]


def job_environment(settings: Settings) -> dict[str, str]:
    """Environment variables of a job's process, besides those of whoever starts it."""
    threads = str(settings.training_threads)
    environment = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    return {**environment, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}


def how_it_died(code: int | None) -> str:
    """The end of a process that did not say itself how its job ended."""
    if code == CANNOT_WRITE:
        return (
            "The data folder could not be written, because the disk was full say; the job's log has the words. "
            "Nothing that was labelled is lost, and the version before still serves; start it again."
        )
    if code == -signal.SIGKILL:
        return (
            "Its process was killed, by a person or because memory ran out. The version before still serves."
        )
    if code is not None and code < 0:
        return f"Its process was ended by signal {-code}. The version before still serves."
    return f"Its process ended with status {code} and without a word; its log may say why."
