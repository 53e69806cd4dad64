"""Copies of the database: made while it is in use, a few kept, and put back when it is lost."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from adclick_backend.lock_file import try_lock
from adclick_backend.moments import is_within
from adclick_backend.store.sqlite import SqliteDatabase, make_private
from adclick_backend.store.tables import SCHEMA
from model.checkpoint.atomic import SPARE_BYTES, flush, sweep_leftovers

DATABASE = "adclick.sqlite3"
KEPT = 7
EVERY_S = 24 * 3600.0
_SUFFIXES = ("-wal", "-shm", "")


class BackupError(RuntimeError):
    """A copy cannot be made or put back; the message says why and what to do."""


POSTGRESQL = (
    "The database is the one that ADCLICK_DATABASE_URL names, and PostgreSQL's own programs copy it and put a copy "
    'back: pg_dump --format=custom --file=copy.dump "$ADCLICK_DATABASE_URL", and with the backends stopped pg_restore '
    '--clean --if-exists --dbname="$ADCLICK_DATABASE_URL" copy.dump. With --data-dir this command is about the SQLite '
    "file in that folder."
)
"""Said instead of copying a database that is not a file of ours."""


def backup_folder(data_dir: Path) -> Path:
    """Where the copies that are made by themselves lie."""
    return data_dir / "backups"


def backups(data_dir: Path) -> list[Path]:
    """The copies in `backup_folder`, the newest first."""
    return sorted(backup_folder(data_dir).glob("adclick-*.sqlite3"), reverse=True)


def advice(data_dir: Path) -> str:
    """What to do about a damaged database, as a sentence that names the newest copy."""
    known = backups(data_dir)
    if not known:
        return "There is no copy of it: move it away to begin anew, labels are read from Label Studio again."
    return f"Stop the backend and put the last copy back: adclick restore {known[0]}."


def back_up(data_dir: Path, out: Path | None = None) -> Path:
    """Copy the database, whole or not at all, while others go on using it; only its owner may read the copy.

    Args:
        data_dir: the data folder.
        out: file to write; by default one named by the time, in `backup_folder`, of which `KEPT` stay.

    Raises:
        BackupError: there is no database, it is damaged, the file exists, or the disk is nearly full.
    """
    source = data_dir / DATABASE
    if not source.is_file():
        raise BackupError(f"There is no database {source}; set ADCLICK_DATA_DIR, or give --data-dir.")
    path = out or backup_folder(data_dir) / f"adclick-{time.strftime('%Y%m%d-%H%M%S')}.sqlite3"
    if path.exists():
        raise BackupError(f"{path} exists already, and nothing was written. Give the copy another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_leftovers(path.parent)
    size = sum(_size(source.with_name(source.name + suffix)) for suffix in _SUFFIXES)
    free = shutil.disk_usage(path.parent).free
    if free < size + SPARE_BYTES:
        raise BackupError(
            f"No copy of the database was made: it needs {size / 1e6:.0f} MB, and of {free / 1e6:.0f} MB that are free "
            f"in {path.parent}, {SPARE_BYTES / 1e6:.0f} are left alone. Make room on that disk."
        )
    try:
        copy_database(source, path)
    except (sqlite3.Error, OSError) as error:
        raise BackupError(f"The database {source} could not be copied ({error}).") from error
    if out is None:
        for old in backups(data_dir)[KEPT:]:
            old.unlink(missing_ok=True)
    return path


def is_due(data_dir: Path) -> bool:
    """Whether the newest copy is older than a day."""
    newest = next(iter(backups(data_dir)), None)
    try:
        return newest is None or not is_within(newest.stat().st_mtime, EVERY_S)
    except OSError:
        return True


def restore(data_dir: Path, file: Path) -> Path | None:
    """Put a copy in the place of the database; answer what the database is called now that was there, if one was.

    Raises:
        BackupError: a backend uses the folder, or the file is no sound database of this or an earlier release.
    """
    check(file)
    with _nobody_else(data_dir):
        target = data_dir / DATABASE
        half = target.with_name(f".{DATABASE}.{secrets.token_hex(4)}")
        try:
            copy_database(file, half)
            kept = _put_aside(target)
            half.replace(target)
            flush(data_dir)
        finally:
            half.unlink(missing_ok=True)
        SqliteDatabase(target).close()  # brings one of an earlier release up to date
    return kept


def check(file: Path) -> None:
    """See that a file is a sound database that this release can read.

    Raises:
        BackupError: it is not; the message says why.
    """
    if not file.is_file():
        raise BackupError(f"There is no file {file}.")
    try:
        with closing(_opened(file)) as database:
            found = [str(row[0]) for row in database.execute("PRAGMA integrity_check(3)")]
            version = int(database.execute("PRAGMA user_version").fetchone()[0])
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error as error:
        raise BackupError(f"{file} is damaged, or no database ({error}). Choose another copy.") from error
    if found != ["ok"]:
        raise BackupError(f"{file} is damaged ({found[0]}). Choose another copy.")
    if not {"projects", "reference_images"} <= tables or not version:
        raise BackupError(f"{file} is a database, but not one of ADClick. Choose another file.")
    if version > SCHEMA:
        raise BackupError(
            f"{file} was written by a newer ADClick (schema {version}, this one knows {SCHEMA}). Restore it "
            "with that version."
        )


def copy_database(source: Path, path: Path) -> None:
    """Copy a database with SQLite's own means: what others write meanwhile is in the copy as a whole or not at all."""
    half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        make_private(half)
        with closing(_opened(source)) as known, closing(sqlite3.connect(half)) as copy:
            known.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without others beside it
        flush(half)
        half.replace(path)
        flush(path.parent)
    finally:
        for suffix in _SUFFIXES:
            half.with_name(half.name + suffix).unlink(missing_ok=True)


def _opened(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=SqliteDatabase.BUSY_TIMEOUT_S
    )


def _put_aside(target: Path) -> Path | None:
    """Give the database that is there another name, with what belongs to it."""
    if not target.exists():
        return None
    name = f"{DATABASE}.replaced-{time.strftime('%Y%m%d-%H%M%S')}"
    while target.with_name(name).exists():
        name += "x"
    for suffix in _SUFFIXES:  # the file last: should this end here, the database is still in its place
        with suppress(FileNotFoundError):
            target.with_name(target.name + suffix).rename(target.with_name(name + suffix))
    return target.with_name(name)


@contextmanager
def _nobody_else(data_dir: Path) -> Iterator[None]:
    """Hold the locks that a running backend holds."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        for name in ("jobs.lock", "references.lock"):
            file = held.enter_context((data_dir / name).open("a"))
            if not try_lock(file):
                raise BackupError(
                    f"A backend is running with the data folder {data_dir}, and nothing was changed. Stop it first."
                )
        yield


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
