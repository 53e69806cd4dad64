"""What the commands that ask for a job have in common: put it in the queue, and perhaps follow it to its end."""

from __future__ import annotations

import argparse
import time

from adclick_backend.jobs.queue import Jobs
from adclick_backend.store import Job, JobKind, Store, project_id

POLL_S = 0.5


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Declare ``--wait``."""
    parser.add_argument(
        "--wait",
        action="store_true",
        help="stay until it is over, and run it from here when no backend is serving",
    )


def ask(store: Store, jobs: Jobs, project: str, kind: JobKind, *, wait: bool) -> int:
    """Ask for a job; returns the exit status, with ``wait`` 0 only when it went well."""
    try:
        job = jobs.enqueue(project_id(project), kind, "command line")
        if wait:
            jobs.start()
            return _follow(jobs, job)
        print(f"Job {job.id} is {job.state}. A serving backend starts it at once; without one, add --wait.")
        return 0
    finally:
        jobs.stop()
        store.close()


def _follow(jobs: Jobs, job: Job) -> int:
    """Print what happens to the job until it is over."""
    said = ""
    while True:
        job = jobs.get(job.project, job.id)
        words = f"{job.state}: {job.message}"
        if words != said:
            print(f"{job.progress:4.0%}  {words}", flush=True)
            said = words
        if not job.active:
            return 0 if job.state == "done" else 1
        time.sleep(POLL_S)
