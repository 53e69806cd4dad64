"""The process of one job, started by `JobRunner` with the argument ``--job N``.

It reads the settings, one line of JSON, from standard input, and ends when that closes: whoever watches over it is
gone then. What it writes to standard output and error is the job's log.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence

from adclick_backend.cluster.pool import Pool
from adclick_backend.engine.bank import EngineError
from adclick_backend.errors import FilesError
from adclick_backend.jobs.control import JobCancelled, JobControl, JobFailed, JobTaken
from adclick_backend.jobs.files import JobFiles
from adclick_backend.jobs.notices import JobNotices
from adclick_backend.jobs.runner import CANNOT_WRITE
from adclick_backend.logs import configure_logging
from adclick_backend.services import Services
from adclick_backend.settings import Settings
from adclick_backend.store import DiskError
from adclick_backend.store.disk import is_full
from adclick_backend.store.jobs import JobKind
from adclick_backend.store.versions import RegistryError
from adclick_backend.training.job import Ending, Trainers, TrainingJob
from adclick_backend.training.memory import is_out_of_memory
from adclick_backend.web.server import secrets_of
from adclick_backend.workers import (
    find_alike,
    generate,
    marking,
    measure_points,
    prepare_images,
    push,
    reporting,
    unaccepted,
)
from adclick_backend.workers.elsewhere import ToldFiles, cluster_of_job, run_elsewhere
from adclick_backend.workers.task_predictor import Predicted, RawTask, predictor_of
from model.checkpoint.atomic import SPARE_BYTES
from model.checkpoint.manifest import CheckpointError

log = logging.getLogger("adclick_backend.workers.process")

NICE = 10
WORK: Mapping[JobKind, Callable[[str, Services, JobControl], str]] = {
    "push": push.run,
    "masks": unaccepted.run,
    "prepare": prepare_images.run,
    "alike": find_alike.run,
    "report": reporting.run,
    "normal": marking.run,
    "generate": generate.run,
    "points": measure_points.run,
}
"""Kind of a job -> does it for a project, and says what came of it; a training is the kind that is not here."""

UNCHANGED = "Nothing that was labelled is lost, and the version before still serves."


def main(
    words: Sequence[str] | None = None,
    *,
    make_services: Callable[[Settings], Services] = Services,
    trainers: Trainers | None = None,
) -> int:
    """Do one job; returns the exit status, 0 also when the job failed in an orderly way.

    Args:
        words: of the command line.
        make_services: from the settings.
        trainers: of the networks; those in ``model`` by default.
    """
    parser = argparse.ArgumentParser(prog="adclick_backend.workers.process")
    parser.add_argument("--job", type=int, required=True)
    parser.add_argument(
        "--holder", type=int, help="on a node of a cluster: the number that this process goes by"
    )
    args = parser.parse_args(words)
    settings = Settings.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_end_with_the_runner, name="end-with-the-runner", daemon=True).start()
    os.nice(NICE)
    configure_logging(settings.log_level, secrets_of(settings))
    services = make_services(settings.model_copy(update={"model_threads": settings.training_threads}))
    try:
        status = _run(args.job, services, trainers, args.holder)
        job = services.store.jobs.find(args.job)
        if job is not None and args.holder is None:
            JobNotices(services.store, settings).job_ended(job)
        return status
    except DiskError as error:
        log.error("%s", error)
        return CANNOT_WRITE
    finally:
        services.stop()


def _run(number: int, services: Services, trainers: Trainers | None, holder: int | None = None) -> int:
    """Do the job and write down how it ended."""
    table = services.store.jobs
    files = (JobFiles if holder is None else ToldFiles)(services.settings.data_dir)
    job = table.find(number)
    if job is None or not job.active:
        log.error("There is no job %s to be done.", number)
        return 2
    files.folder(job.project, number).mkdir(parents=True, exist_ok=True)
    control = JobControl(services.store, files, job, holder)
    try:
        if services.settings.ray_address and job.kind == "push":
            ending = Ending(_push_with_pool(job.project, services, control))
        elif services.settings.ray_address:
            run_elsewhere(services.settings, files, control)
            return 0
        elif (work := WORK.get(job.kind)) is not None:
            ending = Ending(work(job.project, services, control))
        else:
            ending = TrainingJob(job.project, services, control, trainers).run()
    except JobTaken:
        log.warning("Another process does this job by now.")
        return 0
    except Exception as error:
        shutil.rmtree(files.candidate(job.project, number), ignore_errors=True)  # the disk may be full
        if _is_cancellation(error):
            log.info("Cancelled.")
            table.end(number, "cancelled", "Cancelled.")
            return 0
        log.exception("The job failed")
        reason = reason_of(error)
        table.end(number, "failed", f"{reason} {UNCHANGED}" if job.kind == "train" else reason)
        return 0
    log.info(ending.sentence)
    table.end(number, "done", ending.sentence, version=ending.version)
    return 0


def _push_with_pool(project: str, services: Services, control: JobControl) -> str:
    """The job "push" with workers of the cluster that compute its predictions."""
    with cluster_of_job(services.settings, control) as cluster:
        there = services.settings.on_node()
        given, gpus = (there.model_dump_json(), project), int(there.device == "cuda")
        pool = Pool[RawTask, list[Predicted]](
            cluster, predictor_of, given, gpus=gpus, most=services.settings.ray_workers
        )
        return push.run(project, services, control, pool)


def reason_of(error: Exception) -> str:
    """Why a job failed, as a sentence for a person."""
    if isinstance(error, (JobFailed, RegistryError, EngineError, CheckpointError, FilesError)):
        return str(error)
    if isinstance(error, FloatingPointError):
        return f"The training diverged: {error}"
    if is_out_of_memory(error):
        return (
            "Memory ran out, with batches of half the size as well. Give the backend more memory, or close what "
            "else uses it."
        )
    if is_full(error):
        return (
            f"The disk is full, or nearly: the last {SPARE_BYTES >> 20} MB of it are left to labels. Make room on the "
            "disk of the data folder and start the job again."
        )
    if isinstance(error, DiskError):
        return str(error)
    if isinstance(error, OSError):
        return f"A file could not be read or written ({error.strerror or error})."
    return "The job ran into an error that nobody expected; its log has the details."


def _is_cancellation(error: Exception) -> bool:
    """Whether the job was told to stop; the trainer has a word of its own for it, behind torch."""
    module = sys.modules.get("model.training.progress")
    return isinstance(error, JobCancelled) or (module is not None and isinstance(error, module.Cancelled))


def _end_with_the_runner() -> None:
    """Wait until whoever started this process is gone, and end with it: at once, whatever is being done."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)
