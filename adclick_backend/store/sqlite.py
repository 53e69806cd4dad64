"""Connections to the SQLite file in the data folder."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from adclick_backend.store.database import Database, StoreError
from adclick_backend.store.disk import Disk, DiskError, is_damage, stops_writing
from adclick_backend.store.ladder import MIGRATIONS, climb, is_whole
from adclick_backend.store.migrate import upgrade
from adclick_backend.store.tables import SCHEMA


class SqliteDatabase(Database):
    """A pool of connections to one SQLite file in write-ahead mode, which only its owner may read.

    Writers queue, between threads and between processes, for at most `BUSY_TIMEOUT_S`. Whatever the disk is to blame
    for is a `DiskError`; any other error is that of SQLite. A connection that had an error is closed, as SQLite may
    have opened it for reading only. One connection is never used: as long as it is open, the files that SQLite lays
    beside the database exist, and on a full disk it could not make them.

    Args:
        path: the file; its folder is made when it is not there.
        disk: told what cannot be written.
    """

    BUSY_TIMEOUT_S = 15.0
    shared = False

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path = path
        self.disk = disk or Disk(path.parent)
        self._engine = create_engine(
            "sqlite://",
            creator=self._connect,
            poolclass=NullPool,  # connections are kept here
            isolation_level="AUTOCOMMIT",  # transactions are begun and ended by `write`, nowhere else
            skip_autocommit_rollback=True,
            hide_parameters=True,
        )
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._anchor: sqlite3.Connection | None = None
        self._pid = os.getpid()
        self._inherited: list[Connection | sqlite3.Connection] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            make_private(path)
            self._migrate()
            make_private(path)
        except StoreError:
            self.close()
            raise
        except (OSError, sqlite3.Error) as error:
            self.close()
            reason = (error.__cause__ or error) if isinstance(error, DiskError) else error
            if is_damage(reason):
                raise StoreError(
                    f"The database {path} is damaged ({reason}). {self.disk.advice()}".rstrip()
                ) from error
            raise StoreError(
                f"The data folder {path.parent} cannot be used ({reason}). Give the backend a folder that it "
                "may write to: set ADCLICK_DATA_DIR."
            ) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for queries; each sees what was committed when it ran."""
        connection = None
        try:
            connection = self._take()
            yield connection
        except (DBAPIError, sqlite3.Error) as raised:
            if connection is not None:
                connection.invalidate()
                connection.close()
            error = raised.orig if isinstance(raised, DBAPIError) else raised
            if not isinstance(error, sqlite3.Error):
                raise
            if stops_writing(error) or is_damage(error):
                raise self.disk.failed(error) from error
            raise error from None
        except BaseException:
            if connection is not None:
                self._give(connection)
            raise
        else:
            self._give(connection)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection inside one transaction: committed at the end, rolled back when the block raises."""
        with self.read() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                if (
                    not connection.invalidated and driver(connection).in_transaction
                ):  # SQLite may have rolled back
                    with suppress(sqlite3.Error):  # the error that led here says more; `read` closes or keeps
                        driver(connection).execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the idle connections. A connection in use is closed by the next `close`."""
        self.refresh()
        with self._lock:
            anchor, self._anchor = self._anchor, None
        if anchor is not None:
            anchor.close()

    def refresh(self) -> None:
        """Open new connections from now on: those that there are may be for reading only."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> Connection:
        with self._lock:
            if self._pid != os.getpid():
                # SQLite forbids using, even closing, a connection that came through a fork: keep it, unused.
                self._inherited += [*self._idle, *([self._anchor] if self._anchor else [])]
                self._idle, self._anchor = [], None
                self._pid = os.getpid()
            if self._idle:
                return self._idle.pop()
        return self._engine.connect()

    def _give(self, connection: Connection) -> None:
        if driver(connection).in_transaction:
            connection.close()
            return
        connection.rollback()  # ends what SQLAlchemy calls a transaction; SQLite knows of none
        with self._lock:
            self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = self._open(str(self.path))
            with self._lock:
                if self._anchor is None:
                    self._anchor = self._open(str(self.path))
            return connection
        except sqlite3.OperationalError as error:
            if not stops_writing(error) or not self.path.is_file() or self._has_log():
                raise
            # Nobody has it open, and on a disk that cannot be written SQLite cannot even make what readers share.
            self.disk.failed(error)
            return self._open(f"{self.path.absolute().as_uri()}?mode=ro&immutable=1")

    def _open(self, name: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            name,
            timeout=self.BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,  # the pool hands a connection to one thread at a time
            uri=name.startswith("file:"),
        )
        try:
            connection.execute("PRAGMA schema_version")  # says now whether the file can be used
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _has_log(self) -> bool:
        """Whether there is more to read than the file itself."""
        try:
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size > 0
        except OSError:
            return False

    def _migrate(self) -> None:
        with self.read() as connection:
            file = driver(connection)
            version = self._version(file)  # a newer file is refused before anything in it changes
            mode = file.execute("PRAGMA journal_mode").fetchone()[0]
            if mode == "wal" and version == SCHEMA and is_whole(file):
                return  # nothing is to be written, which also works on a full disk
            file.execute("PRAGMA journal_mode = WAL")
        with (
            self.write() as connection
        ):  # several workers may start at once: the version is read inside the lock
            file = driver(connection)
            version = self._version(file)
            climb(file, version)
            if (climbed := max(version, len(MIGRATIONS))) < SCHEMA:
                upgrade(connection, climbed)
                file.execute(f"PRAGMA user_version = {SCHEMA}")

    def _version(self, file: sqlite3.Connection) -> int:
        version = int(file.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA:
            raise StoreError(
                f"{self.path} was written by a newer ADClick (schema {version}, this one knows "
                f"{SCHEMA}). Start that version, or set ADCLICK_DATA_DIR to another folder."
            )
        return version


def driver(connection: Connection) -> sqlite3.Connection:
    """SQLite's own connection behind one of SQLAlchemy."""
    return cast(sqlite3.Connection, connection.connection.driver_connection)


def make_private(path: Path) -> None:
    """Let only its owner read a database, made empty when it is not there; SQLite gives what it lays beside the same.

    A file of another owner stays as it is: then others decide who may read it. One that exists is not opened: when a
    process closes it, all locks end that SQLite holds on it for that process.
    """
    if not path.exists():
        empty = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        os.close(os.open(empty, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with suppress(OSError):  # another process was quicker, or the file system knows no links
            os.link(empty, path)
        empty.unlink()
    for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))):
        with suppress(OSError):
            if (mode := file.stat().st_mode) & 0o077:
                file.chmod(mode & 0o700)
