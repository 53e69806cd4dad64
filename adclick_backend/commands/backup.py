"""``adclick backup``: a copy of the database, also while the backend serves."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from adclick_backend.settings import get_settings
from adclick_backend.store.backups import POSTGRESQL, BackupError, back_up


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "out", nargs="?", type=Path, metavar="OUT", help="file to write (default: one in DATA_DIR/backups)"
    )
    parser.add_argument("--data-dir", type=Path, help="where everything is kept (ADCLICK_DATA_DIR)")


def run(args: argparse.Namespace) -> int:
    """Copy the database; returns the exit status."""
    settings = get_settings()
    if settings.database_url and not args.data_dir:
        print(POSTGRESQL, file=sys.stderr)
        return 1
    try:
        path = back_up(args.data_dir or settings.data_dir, args.out)
    except (BackupError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{path} holds the database as it is now.")
    return 0
