"""``adclick restore``: a copy of the database takes its place; the backend must not run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from adclick_backend.settings import get_settings
from adclick_backend.store import StoreError
from adclick_backend.store.backups import POSTGRESQL, BackupError, restore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a copy that adclick backup made")
    parser.add_argument("--data-dir", type=Path, help="where everything is kept (ADCLICK_DATA_DIR)")


def run(args: argparse.Namespace) -> int:
    """Put the copy in place; returns the exit status."""
    settings = get_settings()
    if settings.database_url and not args.data_dir:
        print(POSTGRESQL, file=sys.stderr)
        return 1
    try:
        kept = restore(args.data_dir or settings.data_dir, args.file)
    except (BackupError, StoreError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"{args.file} is the database now. Start the backend; what was labelled since is read from Label Studio."
    )
    if kept is not None:
        print(f"The database that was there is kept as {kept}.")
    return 0
