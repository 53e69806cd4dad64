"""``adclick train project``: what the button Start Training does, from the command line."""

from __future__ import annotations

import argparse
import time

from adclick_backend.commands.project_arguments import add_project_arguments, chosen_settings
from adclick_backend.jobs.queue import Jobs
from adclick_backend.store import Job, Store, project_id

POLL_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_project_arguments(parser)
    parser.add_argument(
        "--wait",
        action="store_true",
        help="stay until it is over, and run it from here when no backend is serving",
    )


def run(args: argparse.Namespace) -> int:
    """Ask for the training; returns the exit status, with ``--wait`` 0 only when it went well."""
    settings, project = chosen_settings(args), project_id(args.project)
    store = Store(settings.data_dir)
    jobs = Jobs(store, settings)
    try:
        job = jobs.enqueue(project, "train", "command line")
        if args.wait:
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
