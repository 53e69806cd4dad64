"""SQLite files that may be thrown away: what they hold is soon forgotten, or can be computed again."""

from __future__ import annotations

import logging
import secrets
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from adclick_backend.lock_file import locked
from adclick_backend.store.disk import PROBE_BYTES, is_full, stops_writing
from adclick_backend.store.memory_copy import MemoryCopy, in_transaction

T = TypeVar("T")

log = logging.getLogger(__name__)


class ScratchFile:
    """A table in a file of its own, shared by threads and processes; connections live as long as one use.

    A file that cannot be used, because it is damaged, holds tables of another version, older or newer, or is none or
    somebody else's, is replaced by an empty one: that costs less than a person who cannot click. Every use shares the
    lock file beside it and the replacing excludes all others, as SQLite mixes up the ``-wal`` of a file that is
    replaced while it is open.

    When nothing can be written, because the disk is full or read-only, a copy in the memory of this process takes its
    place. Every `MEMORY_S` the file is tried again, and is given what came into the copy, and goes on.

    Args:
        path: the file; its folder is made when it is not there.
        version: of the table, at least 1. A file from before there were versions is taken over when its table is
            the same.
        schema: the statement that makes the table.
        clock: monotonic seconds.
    """

    BUSY_TIMEOUT_S = 30.0
    MEMORY_S = 3.0

    def __init__(
        self, path: Path, version: int, schema: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._version, self._schema = path, version, schema
        self._lock = path.with_name(f"{path.name}.lock")
        self._clock = clock
        self._memory: MemoryCopy | None = None
        self._in_memory = threading.Lock()
        self._again = 0.0  # by the clock: when the file is tried again

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` answers, done again when the file had to be replaced, or memory takes its place."""
        if self._memory is None:
            try:
                return self._from_file(work)
            except (sqlite3.Error, OSError) as error:
                if not stops_writing(error):
                    raise
                log.warning("%s cannot be used (%s); its work goes on in memory.", self._path, error)
        with self._in_memory:
            if self._memory is None:
                self._memory = MemoryCopy(self._path, self._version, self._schema)
                self._again = self._clock() + self.MEMORY_S
            elif self._clock() >= self._again:
                self._again = self._clock() + self.MEMORY_S
                if self._give_back(self._memory):
                    return self._from_file(work)
            return self._memory.run(work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `read`, in a transaction of its own: nobody else writes between what ``work`` reads and writes."""
        return self.read(lambda connection: in_transaction(connection, work))

    def _give_back(self, memory: MemoryCopy) -> bool:
        """Bring the copy in memory into the file, if that can be written again."""
        try:
            self._from_file(lambda connection: in_transaction(connection, memory.give_back))
        except (sqlite3.Error, OSError) as error:
            if not stops_writing(error):
                raise
            return False
        log.warning("%s can be used again.", self._path)
        self._memory = None
        memory.close()
        return True

    def _from_file(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with locked(self._lock, shared=True):
                return self._attempt(work)
        except sqlite3.DatabaseError as error:
            if not self._is_unusable(error):
                raise
        with locked(self._lock):
            try:
                return self._attempt(work)  # another process may have replaced it meanwhile
            except sqlite3.DatabaseError as error:
                if not self._is_unusable(error):
                    raise
                log.warning("%s cannot be used (%s) and is replaced by an empty file.", self._path, error)
            # The file last: should this process be killed here, it tells the next one to go on.
            for suffix in ("-wal", "-shm", ""):
                _take_away(self._path.with_name(self._path.name + suffix))
            return self._attempt(work)

    def _is_unusable(self, error: sqlite3.DatabaseError) -> bool:
        """Whether the file itself is to blame; a full disk or a lock raises one of the subclasses.

        So does a folder in the place of a file, and a file of another user: those can be replaced where the folder
        can be written.
        """
        if type(error) is sqlite3.DatabaseError:
            return True
        return stops_writing(error) and not is_full(error) and _can_be_written(self._path.parent)

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


def _can_be_written(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            return probe.write(b"\1" * PROBE_BYTES) == PROBE_BYTES
    except OSError:
        return False


def _take_away(path: Path) -> None:
    """Delete a file; a folder in its place, which may be somebody's, gets another name."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name}.in-the-way-{secrets.token_hex(4)}"))
    else:
        path.unlink(missing_ok=True)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _tables(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    """Table, and name, type, NOT NULL and place in the primary key of each of its columns."""
    return connection.execute(
        'SELECT tables.name, columns.name, columns.type, columns."notnull", columns.pk '
        "FROM sqlite_master AS tables, pragma_table_info(tables.name) AS columns "
        "WHERE tables.type = 'table' ORDER BY tables.name, columns.cid"
    ).fetchall()
