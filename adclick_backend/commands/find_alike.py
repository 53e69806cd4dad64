"""``adclick find-alike``: places like some masks are looked for in all images of a project without a label."""

from __future__ import annotations

import argparse

from adclick_backend.commands.asked_jobs import add_wait, ask
from adclick_backend.commands.project_arguments import add_project_arguments, chosen_settings
from adclick_backend.jobs.queue import Jobs
from adclick_backend.labels.alike_wish import AlikeWish
from adclick_backend.store import Store, project_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_project_arguments(parser)
    parser.add_argument("--label", required=True, metavar="NAME", help="of the masks that are the examples")
    parser.add_argument(
        "--task",
        type=int,
        action="append",
        default=[],
        metavar="ID",
        help="whose masks they are; may be repeated (default: the newest 20 tasks with the label)",
    )
    parser.add_argument(
        "--everywhere",
        action="store_true",
        help="also where a trained version has a prediction, which Label Studio goes on showing in the editor",
    )
    add_wait(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for the search; returns the exit status, with ``--wait`` 0 only when it went well."""
    settings, project = chosen_settings(args), project_id(args.project)
    store = Store(settings.data_dir, settings.database_url)
    jobs = Jobs(store, settings)
    if jobs.under_way(project, "alike"):
        print("A search is under way already; cancel it on the page Training, or wait for it.")
        jobs.stop()
        store.close()
        return 1
    AlikeWish(args.label, tuple(args.task), args.everywhere).keep(store, project)
    return ask(store, jobs, project, "alike", wait=args.wait)
