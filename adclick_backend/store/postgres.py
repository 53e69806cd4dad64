"""A PostgreSQL database that several backends share, also of several machines."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, create_engine, event, extract, func, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFreeError
from sqlalchemy.pool import ConnectionPoolEntry

from adclick_backend.logs import hide
from adclick_backend.store.database import DATABASE_ERRORS, Database, StoreError
from adclick_backend.store.disk import MEANWHILE, Disk, DiskError
from adclick_backend.store.migrate import revision, upgrade
from adclick_backend.store.tables import SCHEMA

DRIVER = "postgresql+psycopg"
INSTALL = "pip install 'adclick-backend[many-machines]'"

WRITERS = 0x4144_436C_6963_6B00
"""Number of the lock that a transaction holds from beginning to end."""

_BEGIN = f"BEGIN; SELECT pg_advisory_xact_lock({WRITERS})"  # one way there and back

_USED = "used"  # when a connection was given back, monotonic seconds
_MADE = "made"  # when it was opened, monotonic seconds

_FULL = "53100"
_NO_MORE_CONNECTIONS = "53300"
_READ_ONLY = "25006"
_MAY_NOT = "42501"
# Classes of error codes: no connection, resources, somebody stopped the server, the system around it, the login.
_OUT_OF_ORDER = ("08", "53", "57P", "58", "28")


class PostgresDatabase(Database):
    """A few connections to a PostgreSQL server.

    A transaction holds one lock of the database from its first statement on, so that there is one writer at a time,
    as with SQLite: those who wait for it give up after `BUSY_TIMEOUT_S`. A server that went away and came back is
    used again by itself.

    Args:
        url: such as ``postgresql://user:password@host:5432/database``; the password is never shown.
        disk: told when the server cannot be reached, or cannot write.
    """

    BUSY_TIMEOUT_S = 15.0
    STATEMENT_TIMEOUT_S = 60.0
    CONNECT_TIMEOUT_S = 5
    CONNECTIONS = 4
    MOST_CONNECTIONS = 16
    CLOCK_S = 60.0  # between two looks at the server's clock
    RESTED_S = 1.0  # a connection that nobody used for so long may have broken since
    shared = True

    def __init__(self, url: str, disk: Disk) -> None:
        self.disk = disk
        self._url = checked_url(url)
        hide(self._url.password or "")
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._refreshed = 0.0  # monotonic seconds
        self._ahead = 0.0  # of this process's monotonic clock, seconds
        self._clock_read = 0.0  # monotonic seconds
        try:
            self._engine = create_engine(
                self._url,
                connect_args=self._connect_arguments(),
                isolation_level="AUTOCOMMIT",  # transactions are begun and ended by `write`, nowhere else
                skip_autocommit_rollback=True,
                pool_size=self.CONNECTIONS,
                max_overflow=self.MOST_CONNECTIONS - self.CONNECTIONS,
                pool_timeout=self.BUSY_TIMEOUT_S,
                hide_parameters=True,
            )
        except ImportError as error:
            raise StoreError(
                f"ADCLICK_DATABASE_URL names a PostgreSQL database, and its driver is not installed ({error}). "
                f"Install it: {INSTALL}"
            ) from error
        event.listen(self._engine, "checkin", _note_use)
        event.listen(self._engine, "checkout", self._look_at)
        try:
            self._migrate()
            self._read_clock()
        except StoreError:
            self.close()
            raise
        except (DiskError, SQLAlchemyError) as error:
            self.close()
            raise StoreError(self._why_not(error)) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for queries; each sees what was committed when it ran."""
        self._leave_those_of_the_parent()
        with self.in_words(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection inside one transaction: committed at the end, rolled back when the block raises."""
        self._leave_those_of_the_parent()
        with self.in_words(), self._engine.connect() as connection:
            try:
                connection.exec_driver_sql(_BEGIN)
                yield connection
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                if not connection.invalidated:
                    try:
                        connection.exec_driver_sql("ROLLBACK")
                    except SQLAlchemyError:  # the error that led here says more
                        connection.invalidate()
                raise

    def session(self) -> Connection:
        """A connection of one's own, beside the others: what it holds is held until it is closed, or breaks."""
        self._leave_those_of_the_parent()
        with self.in_words():
            connection = self._engine.connect()
            connection.detach()
        return connection

    def now(self) -> float:
        """Unix seconds by the server's clock, as of the last look at it: clocks of other machines do not count."""
        if time.monotonic() - self._clock_read > self.CLOCK_S:
            with suppress(*DATABASE_ERRORS):  # then as it was
                self._read_clock()
        return time.monotonic() + self._ahead

    def uptime(self) -> float:
        """Those of `now`: monotonic clocks of several machines have nothing in common."""
        return self.now()

    def refresh(self) -> None:
        """Use no connection again that was made before; one in use is closed when it is asked for the next time."""
        self._refreshed = time.monotonic()

    def close(self) -> None:
        """Close the idle connections. A connection in use is closed by the next `close`."""
        self._engine.dispose()

    def _read_clock(self) -> None:
        self._clock_read = time.monotonic()
        with self.read() as connection:
            before = time.monotonic()
            there = connection.execute(select(extract("epoch", func.clock_timestamp()))).scalar_one()
        self._ahead = float(there) - (before + time.monotonic()) / 2

    def _leave_those_of_the_parent(self) -> None:
        """Connections do not come along through a fork: the parent uses them."""
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    self._engine.dispose(close=False)
                    self._pid = os.getpid()

    def _look_at(self, raw: Any, record: ConnectionPoolEntry, *_: object) -> None:
        if record.info.setdefault(_MADE, time.monotonic()) < self._refreshed:
            raise DisconnectionError  # the pool takes another one
        used = record.info.get(_USED)
        if used is None or time.monotonic() - used < self.RESTED_S:
            return
        try:
            raw.execute("SELECT 1")
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error  # the pool takes another one

    @contextmanager
    def in_words(self) -> Iterator[None]:
        """Make a `DiskError` of what is wrong with the server, and not with a statement."""
        try:
            yield
        except (DBAPIError, NoConnectionFreeError) as error:
            if sentence := self._out_of_order(error):
                raise self.disk.failed(getattr(error, "orig", None) or error, sentence) from error
            raise

    def _out_of_order(self, error: DBAPIError | NoConnectionFreeError) -> str:
        """What is wrong with the server, as a sentence; "" when the statement is to blame."""
        if isinstance(error, NoConnectionFreeError):
            return f"The database that ADCLICK_DATABASE_URL names does not answer. {MEANWHILE}"
        code, reason = _code(error), _reason(error)
        if code == _FULL:
            return f"The disk of the database that ADCLICK_DATABASE_URL names is full: make room on it. {MEANWHILE}"
        if code == _NO_MORE_CONNECTIONS:
            return (
                f"The database that ADCLICK_DATABASE_URL names takes no more connections: raise max_connections. "
                f"{MEANWHILE}"
            )
        if code == _READ_ONLY:
            return (
                f"The database that ADCLICK_DATABASE_URL names is for reading only ({reason}): name the one that "
                f"can be written. {MEANWHILE}"
            )
        if code == _MAY_NOT:
            return (
                f"The user of ADCLICK_DATABASE_URL may not do what is needed ({reason}): give it the rights. "
                f"{MEANWHILE}"
            )
        unsaid = not code and isinstance(error, OperationalError)  # there was no server to give a code
        if unsaid or error.connection_invalidated or code.startswith(_OUT_OF_ORDER):
            return f"The database that ADCLICK_DATABASE_URL names cannot be reached ({reason}). {MEANWHILE}"
        return ""

    def _why_not(self, error: BaseException) -> str:
        """Why the backend cannot start with the database."""
        cause = error.__cause__ if isinstance(error, DiskError) and error.__cause__ else error
        return (
            f"The database that ADCLICK_DATABASE_URL names ({_place(self._url)}) cannot be used "
            f"({_reason(cause)}). See to it that it runs, that the URL is right, and that its user may make tables "
            "in it."
        )

    def _connect_arguments(self) -> dict[str, str | int]:
        """What is not said in the URL itself."""
        limits = {
            "lock_timeout": self.BUSY_TIMEOUT_S,
            "statement_timeout": self.STATEMENT_TIMEOUT_S,
            "idle_in_transaction_session_timeout": self.STATEMENT_TIMEOUT_S,  # whoever hangs holds up all others
        }
        arguments: dict[str, str | int] = {
            "connect_timeout": self.CONNECT_TIMEOUT_S,
            "application_name": "adclick",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": int(self.BUSY_TIMEOUT_S * 1000),
            "options": " ".join(f"-c {name}={seconds:.0f}s" for name, seconds in limits.items()),
        }
        return {name: value for name, value in arguments.items() if name not in self._url.query}

    def _migrate(self) -> None:
        with self.read() as connection:
            if self._version(connection) == SCHEMA:
                return
        with (
            self.write() as connection
        ):  # several backends may start at once: the version is read inside the lock
            if self._version(connection) != SCHEMA:
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                upgrade(connection)

    def _version(self, connection: Connection) -> int:
        """The schema of the database, 0 of an empty one."""
        if connection.execute(select(func.to_regclass("alembic_version"))).scalar() is None:
            return 0
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or revision(0)
        if not str(found).isdigit() or int(found) > SCHEMA:
            raise StoreError(
                f"The database that ADCLICK_DATABASE_URL names was written by a newer ADClick (schema {found}, this "
                f"one knows {SCHEMA}). Start that version, or name another database."
            )
        return int(found)


def checked_url(url: str) -> URL:
    """A URL as the driver is to read it.

    Raises:
        StoreError: it names no PostgreSQL database; the message does not show it, as it may hold a password.
    """
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):
        parsed = URL.create("")
    if parsed.drivername in ("postgres", "postgresql", DRIVER) and parsed.database:
        return parsed.set(drivername=DRIVER)
    raise StoreError(
        "ADCLICK_DATABASE_URL must name a PostgreSQL database, as postgresql://user:password@host:5432/database does "
        "(a sign such as @ or / in the password is written %40 or %2F)."
    )


def _note_use(_: object, record: ConnectionPoolEntry) -> None:
    record.info[_USED] = time.monotonic()


def _place(url: URL) -> str:
    return f"{url.host or 'this machine'}:{url.port or 5432}/{url.database}"


def _code(error: BaseException) -> str:
    """PostgreSQL's five-letter code; "" when there was no server to give one."""
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")


def _reason(error: BaseException) -> str:
    """What the driver says, in one line."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
