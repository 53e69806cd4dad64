"""Locks by name between processes: one of them at a time does what may be done once only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from adclick_backend.lock_file import locked, try_lock

if TYPE_CHECKING:
    from adclick_backend.store.postgres import PostgresDatabase


class Held(Protocol):
    """A lock that this process holds."""

    def lost(self) -> bool:
        """Whether it is not held any more, so that another process may hold it now."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class Locks(Protocol):
    """Locks that end with the process that holds them, whatever ends it."""

    def hold(self, name: str) -> AbstractContextManager[None]:
        """Hold the lock of that name; waits for whoever holds it."""
        ...

    def try_hold(self, name: str) -> Held | None:
        """Hold the lock of that name; None when somebody else does.

        Raises:
            OSError, DiskError: nobody can tell, as the place where locks are kept cannot be used.
        """
        ...

    def close(self) -> None:
        """Nobody asks for a lock any more; those that are held stay so."""
        ...


class FileLocks:
    """Lock files ``data_dir/NAME.lock``, between the processes of one machine.

    Args:
        data_dir: the data folder; made when it is not there.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold the lock of that name; waits for whoever holds it."""
        with locked(self._path(name)):
            yield

    def try_hold(self, name: str) -> Held | None:
        """Hold the lock of that name; None when somebody else does. Raises OSError when there can be no such file."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
        if try_lock(file):
            return _HeldFile(file)
        file.close()
        return None

    def close(self) -> None:
        """Nothing is open."""

    def _path(self, name: str) -> Path:
        return self._data_dir / f"{name}.lock"


class _HeldFile:
    """A lock file that is held: it stays so until this process closes it."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def lost(self) -> bool:
        return False

    def release(self) -> None:
        self._file.close()


class DatabaseLocks:
    """Advisory locks of a PostgreSQL database, between the processes of all machines that use it.

    Each has a connection of its own, and lasts as long as that. A machine that is cut off loses its locks within half
    a minute, and knows it before the server gives them to another: it asks the server all the time.

    Args:
        database: where they are.
    """

    ALONE_S = 10, 5, 3
    """Seconds of silence after which the server asks whether the machine is there, between two such questions, and how
    many of them: of this order, and longer than the machine itself waits for the server."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._idle: list[Connection] = []  # of who asks again and again until a lock is free
        self._closed = False
        self._guard = threading.Lock()

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold the lock of that name; waits for whoever holds it. Raises DiskError when the database is away."""
        with self._opened() as connection:
            with self._database.in_words():
                connection.execute(select(func.pg_advisory_lock(_number(name))))
            yield

    def try_hold(self, name: str) -> Held | None:
        """Hold the lock of that name; None when somebody else does. Raises DiskError when the database is away."""
        with self._guard:
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._opened()
        with self._using(connection):
            if connection.execute(select(func.pg_try_advisory_lock(_number(name)))).scalar_one():
                return _HeldSession(connection)
        with self._guard:
            if not self._closed:
                self._idle.append(connection)
                return None
        connection.close()
        return None

    def close(self) -> None:
        """See `Locks.close`."""
        with self._guard:
            self._closed = True  # who asks at this moment keeps no connection
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _opened(self) -> Connection:
        idle, between, count = self.ALONE_S
        settings = {
            "lock_timeout": 0,  # whoever waits does so for as long as it takes
            "statement_timeout": 0,
            "tcp_keepalives_idle": idle,
            "tcp_keepalives_interval": between,
            "tcp_keepalives_count": count,
        }
        connection = self._database.session()
        with self._using(connection):
            connection.execute(text("; ".join(f"SET {name} = {value}" for name, value in settings.items())))
        return connection

    @contextmanager
    def _using(self, connection: Connection) -> Iterator[None]:
        """A connection that nobody will hold if this fails: then it is closed."""
        try:
            with self._database.in_words():
                yield
        except BaseException:
            connection.close()
            raise


class _HeldSession:
    """A lock that lasts as long as its connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lost(self) -> bool:
        try:
            self._connection.execute(select(1))
        except SQLAlchemyError:
            return True
        return False

    def release(self) -> None:
        with suppress(SQLAlchemyError):  # it broke before
            self._connection.close()


def _number(name: str) -> int:
    """What PostgreSQL knows a lock by: 64 bits with a sign."""
    return int.from_bytes(sha256(f"adclick lock {name}".encode()).digest()[:8], "big", signed=True)
