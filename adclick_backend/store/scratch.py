"""SQLite files that may be thrown away: what they hold is soon forgotten, or can be computed again."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from adclick_backend.lock_file import locked

T = TypeVar("T")

log = logging.getLogger(__name__)


class ScratchFile:
    """A table in a file of its own, shared by threads and processes; connections live as long as one use.

    A file that cannot be used, because it is damaged or holds tables of another version, older or newer, is replaced
    by an empty one: that costs less than a person who cannot click. Every use shares the lock file beside it and the
    replacing excludes all others, as SQLite mixes up the ``-wal`` of a file that is replaced while it is open.

    Args:
        path: the file; its folder is made when it is not there.
        version: of the table, at least 1. A file from before there were versions is taken over when its table is
            the same.
        schema: the statement that makes the table.
    """

    BUSY_TIMEOUT_S = 30.0

    def __init__(self, path: Path, version: int, schema: str) -> None:
        self._path, self._version, self._schema = path, version, schema
        self._lock = path.with_name(f"{path.name}.lock")

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` answers, done again when the file had to be replaced."""
        try:
            with locked(self._lock, shared=True):
                return self._attempt(work)
        except sqlite3.DatabaseError as error:
            if not _is_unusable(error):
                raise
        with locked(self._lock):
            try:
                return self._attempt(work)  # another process may have replaced it meanwhile
            except sqlite3.DatabaseError as error:
                if not _is_unusable(error):
                    raise
                log.warning("%s cannot be used (%s) and is replaced by an empty file.", self._path, error)
            # The file last: should this process be killed here, it tells the next one to go on.
            for suffix in ("-wal", "-shm", ""):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            return self._attempt(work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `read`, in a transaction of its own: nobody else writes between what ``work`` reads and writes."""

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            found = work(connection)  # when it raises, the connection is closed, which rolls back
            connection.execute("COMMIT")
            return found

        return self.read(transaction)

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with closing(
            sqlite3.connect(self._path, timeout=self.BUSY_TIMEOUT_S, isolation_level=None)
        ) as connection:
            self._write_ahead(connection)
            if _version(connection) != self._version:
                self._prepare(connection)
            return work(connection)

    def _write_ahead(self, connection: sqlite3.Connection) -> None:
        """Switch to write-ahead mode; for that SQLite does not wait for other processes as it does for all else."""
        give_up = time.monotonic() + self.BUSY_TIMEOUT_S
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the table of an empty file, or take over that of a file without a version."""
        connection.execute("BEGIN IMMEDIATE")
        found, tables = _version(connection), _tables(connection)
        if found != self._version:  # no other process was quicker
            if not tables:
                connection.execute(self._schema)
            elif found or tables != self._fresh_tables():
                raise sqlite3.DatabaseError(f"its tables are of version {found}, not {self._version}")
            connection.execute(f"PRAGMA user_version = {self._version}")
        connection.execute("COMMIT")

    def _fresh_tables(self) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.execute(self._schema)
            return _tables(connection)


def _is_unusable(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is to blame; a full disk or a lock raises one of the subclasses."""
    return type(error) is sqlite3.DatabaseError


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _tables(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    """Table, and name, type, NOT NULL and place in the primary key of each of its columns."""
    return connection.execute(
        'SELECT tables.name, columns.name, columns.type, columns."notnull", columns.pk '
        "FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns "
        "WHERE tables.type = 'table' ORDER BY tables.name, columns.cid"
    ).fetchall()
