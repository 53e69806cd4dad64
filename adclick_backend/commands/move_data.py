"""``adclick move-data``: a data folder copied into a database and an object store that several backends share."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing

from adclick_backend.commands.project_arguments import add_data_dir, chosen_settings
from adclick_backend.settings import checked_bucket
from adclick_backend.store import DATABASE_ERRORS, Store, StoreError
from adclick_backend.store.backups import BackupError
from adclick_backend.store.files import ObjectFiles, open_files
from adclick_backend.store.moving.move import MoveError, move


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--to-database",
        default="",
        metavar="URL",
        help="empty PostgreSQL database, postgresql://user:password@host/name (ADCLICK_DATABASE_URL)",
    )
    parser.add_argument(
        "--to-files", default="", metavar="URL", help="empty s3://bucket/prefix (ADCLICK_FILES_URL)"
    )
    add_data_dir(parser)


def run(args: argparse.Namespace) -> int:
    """Move the folder, or go on with it; returns the exit status."""
    settings = chosen_settings(args)
    database, url = args.to_database or settings.database_url, args.to_files or settings.files_url
    if not database or not url:
        print(
            "Say where the data folder is to go: --to-database and --to-files, or ADCLICK_DATABASE_URL and "
            "ADCLICK_FILES_URL.",
            file=sys.stderr,
        )
        return 2
    try:
        checked_bucket(url)
    except ValueError as error:
        print(f"--to-files {error}.", file=sys.stderr)
        return 2
    try:
        with closing(Store(settings.data_dir, database)) as target:
            files = open_files(settings.model_copy(update={"files_url": checked_bucket(url)}))
            assert isinstance(files, ObjectFiles)  # noqa: S101
            move(settings.data_dir, target, files, lambda sentence: print(sentence, flush=True))
    except (MoveError, BackupError, StoreError) as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, *DATABASE_ERRORS) as error:
        print(f"{error} What was copied stays; the same command goes on with it.", file=sys.stderr)
        return 1
    print(
        f"Everything of {settings.data_dir} is there. Start the backends with ADCLICK_DATABASE_URL and "
        f"ADCLICK_FILES_URL={url}; the folder is as it was."
    )
    return 0
