"""What every database of the backend does, whichever it is: a SQLite file, or PostgreSQL."""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from adclick_backend.errors import StoreError
from adclick_backend.store.disk import Disk

__all__ = ["DATABASE_ERRORS", "FARTHEST_S", "KEPT_S", "Database", "StoreError"]

KEPT_S = 30 * 86_400.0
"""So long what was deleted or taken out can be brought back."""

FARTHEST_S = 3600.0
"""Nothing is put off for longer: what is due later was so before the clock was set back, and is due now."""

DATABASE_ERRORS = (sqlite3.Error, SQLAlchemyError)
"""What may leave a database: `DiskError`, which is an error of SQLite too, and whatever else went wrong in it."""


class Database(ABC):
    """Connections for statements of SQLAlchemy Core on the tables of `adclick_backend.store.tables`.

    Readers never wait for a writer. There is one writer at a time, whichever thread, process or machine it is in: what
    a transaction has read stays true until it ends. Whatever keeps the database from being used is a `DiskError`,
    and `disk` knows of it.

    Attributes:
        disk: told what cannot be written.
        shared: whether processes of other machines may use it, whose clocks differ.
    """

    disk: Disk
    shared: bool

    @abstractmethod
    def read(self) -> AbstractContextManager[Connection]:
        """A connection for queries; each sees what was committed when it ran."""

    @abstractmethod
    def write(self) -> AbstractContextManager[Connection]:
        """A connection inside one transaction: committed at the end, rolled back when the block raises."""

    def now(self) -> float:
        """Unix seconds, the same for everybody who uses the database."""
        return time.time()

    def uptime(self) -> float:
        """Seconds for durations, the same for everybody who uses the database; no setting of a wall clock counts."""
        return time.monotonic()

    @abstractmethod
    def refresh(self) -> None:
        """Open new connections from now on."""

    @abstractmethod
    def close(self) -> None:
        """Close the idle connections. A connection in use is closed by the next `close`."""
