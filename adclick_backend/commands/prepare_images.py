"""``adclick prepare-images``: every image of a project is made ready for its first click, before anybody opens it."""

from __future__ import annotations

import argparse

from adclick_backend.commands.asked_jobs import add_wait, ask
from adclick_backend.commands.project_arguments import add_project_arguments, chosen_settings
from adclick_backend.jobs.queue import Jobs
from adclick_backend.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_project_arguments(parser)
    add_wait(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for the preparation; returns the exit status, with ``--wait`` 0 only when it went well."""
    settings = chosen_settings(args)
    store = Store(settings.data_dir, settings.database_url)
    return ask(store, Jobs(store, settings), args.project, "prepare", wait=args.wait)
