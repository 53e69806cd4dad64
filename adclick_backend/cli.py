"""``adclick``: the command line. A command's module is only imported when that command is called."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from adclick_backend import __version__


class Command(NamedTuple):
    """A command: the module with its ``add_arguments(parser)`` and ``run(args) -> int``, and what it does."""

    module: str
    summary: str


COMMANDS = {
    "serve": Command("adclick_backend.serve_command", "Serve Label Studio."),
    "connect": Command(
        "adclick_backend.connect", "Connect a Label Studio project to the backend, and check both directions."
    ),
    "references": Command(
        "adclick_backend.references_command", "Add, list, check and remove defect-free reference images."
    ),
    "benchmark": Command(
        "adclick_backend.benchmark", "Measure masks after 1, 2, 3, 5 clicks on images with known masks."
    ),
    "train": Command("model.train_command", "Train the click network."),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``adclick``; returns the exit status: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(
        prog="adclick", description="Label Studio ML backend: click a defect, get its mask."
    )
    parser.add_argument("--version", action="version", version=f"adclick {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.summary, description=command.summary)
        if words[:1] == [name]:
            importlib.import_module(command.module).add_arguments(subparser)
    args = parser.parse_args(words)
    try:
        return int(importlib.import_module(COMMANDS[args.command].module).run(args))
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) left. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
