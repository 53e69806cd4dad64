"""What the commands that export share: a new folder or zip file, whole or not at all, and what went wrong in words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from adclick_backend.commands.project_arguments import add_project_arguments, chosen_settings
from adclick_backend.exports.wish import ExportError
from adclick_backend.services import Services
from adclick_backend.store import project_id
from adclick_backend.store.disk import is_full
from model.datasets.layouts.folder import check_new


def add_out(parser: argparse.ArgumentParser) -> None:
    """Declare where to write, and of which project."""
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="a new folder, or a new file that ends with .zip"
    )
    add_project_arguments(parser)


def take_along(args: argparse.Namespace, export: Callable[[Services, str], str]) -> int:
    """Export something of a project.

    Args:
        args: of the command, with those of `add_out`.
        export: writes it, and returns what was written as a sentence; may raise ExportError and OSError.

    Returns:
        The exit status: 1 where it could not be written, 2 where there is nothing to write.
    """
    settings, project = chosen_settings(args), project_id(args.project)
    services = Services(settings)
    try:
        check_new(args.out)  # before anything is read or computed
        said = export(services, project)
    except ExportError as error:
        print(error, file=sys.stderr)
        return 2
    except FileExistsError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        why = "its disk is full: make room there" if is_full(error) else f"{error.strerror or error}"
        print(f"{args.out} could not be written ({why}). Nothing is left of it.", file=sys.stderr)
        return 1
    finally:
        services.stop()
    print(f"{args.out}: {said}")
    return 0
