"""A job on a node of the Ray cluster: the process of the job here waits for it, and tells its log.

This process is a job's process like any other, so that whatever ends it ends the job on its node as well.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from adclick_backend.cluster.connection import Cluster, ClusterAway, ClusterError, WorkerLost, joined
from adclick_backend.cluster.remote_process import Program, run_remotely
from adclick_backend.jobs.control import JobControl, JobFailed
from adclick_backend.jobs.files import JobFiles
from adclick_backend.jobs.runner import TRY_AGAIN, how_it_died, job_environment, job_words
from adclick_backend.settings import Settings

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
    with cluster_of_job(settings, control) as cluster:
        for attempt in range(1, ATTEMPTS + 1):
            holder = secrets.randbelow(1 << 31)
            control.hand_over(holder)
            try:
                status = run_remotely(
                    cluster, _program(settings, control.job.id, holder), _write, _waiting(control)
                )
            except WorkerLost as error:
                control.hand_over(os.getpid())
                shutil.rmtree(files.candidate(control.job.project, control.job.id), ignore_errors=True)
                _write(f"The node was lost: {error}\n".encode())
                if attempt == ATTEMPTS:
                    raise JobFailed(
                        f"The node of the Ray cluster that this job ran on was lost, {ATTEMPTS} times in a row; the "
                        "log may say why (memory that ran out, say)."
                    ) from error
                control.report(
                    "Its node of the Ray cluster was lost: it starts on another one.", 0.0, "preparing"
                )
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


def _write(output: bytes) -> None:
    sys.stdout.buffer.write(output)
    sys.stdout.flush()


def _head_is_lost() -> None:
    print("The head of the Ray cluster does not answer any more.", flush=True)
    os._exit(TRY_AGAIN)
