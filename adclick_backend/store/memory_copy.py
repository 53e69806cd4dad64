"""A small SQLite file as it goes on in memory while it cannot be written."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Rows = dict[str, list[tuple[object, ...]]]


class MemoryCopy:
    """The rows of a file in the memory of this process.

    Args:
        path: the file; one that cannot be read, or is of another version, counts as empty.
        version: of its tables.
        schema: the statement that makes them.
    """

    def __init__(self, path: Path, version: int, schema: str) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._connection.execute(schema)
        self._lock = threading.RLock()
        self._before = _rows_of_file(path, version)
        with suppress(sqlite3.Error):
            _insert(self._connection, self._before)

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` answers; nothing of it stays when it raises."""
        with self._lock:
            try:
                return work(self._connection)
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def give_back(self, file: sqlite3.Connection) -> None:
        """Write what came in, and delete what went, since the copy was made; the rest of the file stays."""
        with self._lock:
            now = _rows(self._connection)
        for table, rows in self._before.items():
            kept = set(now.get(table, []))
            for row in rows:
                if row not in kept:
                    _delete(file, table, row)
        known = {table: set(rows) for table, rows in self._before.items()}
        new = {
            table: [row for row in rows if row not in known.get(table, set())] for table, rows in now.items()
        }
        _insert(file, new)

    def close(self) -> None:
        """Forget the copy."""
        with self._lock:
            self._connection.close()


def in_transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Do ``work`` in a transaction; when it raises, whoever closes the connection, or rolls back, undoes it."""
    connection.execute("BEGIN IMMEDIATE")
    found = work(connection)
    connection.execute("COMMIT")
    return found


def _rows_of_file(path: Path, version: int) -> Rows:
    name = path.absolute().as_uri()
    for how in ("mode=ro", "mode=ro&immutable=1"):
        try:
            with closing(sqlite3.connect(f"{name}?{how}", uri=True)) as file:
                if file.execute("PRAGMA user_version").fetchone()[0] == version:
                    return _rows(file)
        except sqlite3.Error:
            continue
    return {}


def _rows(connection: sqlite3.Connection) -> Rows:
    """Table -> its rows, those written last at the end."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        table: connection.execute(f'SELECT * FROM "{table}" ORDER BY rowid').fetchall()  # noqa: S608  (our tables)
        for table in tables
    }


def _insert(connection: sqlite3.Connection, rows: Rows) -> None:
    for table, found in rows.items():
        if found:
            places = ", ".join("?" * len(found[0]))
            connection.executemany(f'INSERT OR REPLACE INTO "{table}" VALUES ({places})', found)  # noqa: S608


def _delete(connection: sqlite3.Connection, table: str, row: tuple[object, ...]) -> None:
    columns = [column for _, column, *_ in connection.execute(f'PRAGMA table_info("{table}")')]
    same = " AND ".join(f'"{column}" IS ?' for column in columns)
    connection.execute(f'DELETE FROM "{table}" WHERE {same}', row)  # noqa: S608
