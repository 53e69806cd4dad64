"""A job on a node of the Ray cluster: the process of the job here waits for it, and tells its log.

This process is a job's process like any other, so that whatever ends it ends the job on its node as well.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

from adclick_backend.cluster.connection import Cluster, ClusterAway, ClusterError, WorkerLost, joined
from adclick_backend.cluster.remote_process import Program, run_remotely
from adclick_backend.jobs.control import JobControl, JobFailed
from adclick_backend.jobs.files import JobFiles
from adclick_backend.jobs.runner import TRY_AGAIN, how_it_died, job_environment, job_words
from adclick_backend.settings import Settings
from adclick_backend.store import Job

POINT = "\x1e"
"""What a line of output begins with that is a point of the curve (ASCII's record separator)."""
ATTEMPTS = 3
"""Nodes that may be lost with one job."""


@contextmanager
def cluster_of_job(
    settings: Settings, control: JobControl, sleep: Callable[[float], object] = time.sleep
) -> Iterator[Cluster]:
    """Join the cluster for a job; waits for its head when that is away.

    A head that dies later ends this process, because Ray would; whoever watches over it starts the job again.

    Raises:
        JobFailed: the cluster cannot be used.
        JobCancelled: somebody cancelled the job.
    """
    with ExitStack() as stack:
        while True:
            try:
                cluster = stack.enter_context(joined(settings.ray_address, _head_is_lost))
                break
            except ClusterAway as away:
                control.report(f"{away} The job goes on when it is back.", control.job.progress, "preparing")
                sleep(1.0)
            except ClusterError as error:
                raise JobFailed(str(error)) from error
        try:
            yield cluster
        except ClusterError as error:
            raise JobFailed(str(error)) from error


def run_elsewhere(settings: Settings, files: JobFiles, control: JobControl) -> None:
    """Do the job on a node; its process there writes down how it ended. When the node is lost, on another one.

    Raises:
        JobFailed: it ended without a word, or no node can do it.
        JobCancelled: somebody cancelled the job before it began.
    """
    output = Output(files, control.job, sys.stdout.buffer)
    with cluster_of_job(settings, control) as cluster:
        for attempt in range(1, ATTEMPTS + 1):
            holder = secrets.randbelow(1 << 31)
            control.hand_over(holder)
            program = _program(settings, control.job.id, holder)
            try:
                status = run_remotely(cluster, program, output.write, _waiting(control))
                output.end()
            except WorkerLost as error:
                control.hand_over(os.getpid())
                shutil.rmtree(files.candidate(control.job.project, control.job.id), ignore_errors=True)
                output.write(f"\nThe node was lost: {error}\n".encode())
                if attempt == ATTEMPTS:
                    raise JobFailed(
                        f"The node of the Ray cluster that this job ran on was lost, {ATTEMPTS} times in a row; the "
                        "log may say why (memory that ran out, say)."
                    ) from error
                lost = "Its node of the Ray cluster was lost: it starts on another one."
                control.report(lost, 0.0, "preparing")
            else:
                if status:
                    raise JobFailed(how_it_died(status))
                return


def _program(settings: Settings, job: int, holder: int) -> Program:
    there = settings.on_node()
    gpu = there.device == "cuda"
    return Program(
        [*job_words(job), "--holder", str(holder)],
        there.model_dump_json().encode() + b"\n",
        job_environment(settings),
        cpus=1 if gpu else settings.training_threads,
        gpus=int(gpu),
    )


def _waiting(control: JobControl) -> Callable[[str], None]:
    return lambda sentence: control.report(sentence, control.job.progress, "preparing")


class ToldFiles(JobFiles):
    """On a node: the points of a job's curve go along with its output, for the curve is where the job was started."""

    def add_to_curve(self, project: str, job: int, point: Mapping[str, Any]) -> None:
        """Say one point."""
        print(POINT + json.dumps(point), flush=True)


class Output:
    """What the process on the node says: the points of the curve, and the log.

    Args:
        files: of the machine where the job was started.
        job: the job.
        log: gets the log.
    """

    def __init__(self, files: JobFiles, job: Job, log: BinaryIO) -> None:
        self._files, self._job, self._log = files, job, log
        self._rest = b""

    def write(self, said: bytes) -> None:
        """More of it; a line may come in pieces."""
        *lines, self._rest = (self._rest + said).split(b"\n")
        for line in lines:
            if line.startswith(POINT.encode()):
                self._files.add_to_curve(self._job.project, self._job.id, json.loads(line[len(POINT) :]))
            else:
                self._log.write(line + b"\n")
        self._log.flush()

    def end(self) -> None:
        """There is no more: what was begun is a part of the log."""
        self._log.write(self._rest)
        self._log.flush()
        self._rest = b""


def _head_is_lost() -> None:
    print("The head of the Ray cluster does not answer any more.", flush=True)
    os._exit(TRY_AGAIN)
