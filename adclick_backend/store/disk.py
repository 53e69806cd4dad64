"""Whether the data folder can be written: what stopped a write, in words, and when that is over."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from adclick_backend.errors import FilesError

log = logging.getLogger(__name__)

PROBE_BYTES = 256 << 10
"""So much is written, and deleted, to see whether there is room again: more than a click or a label takes."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNWRITABLE = _FULL | {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}

# What SQLite says, whose error codes Python tells from 3.11 on only.
_SQLITE_FULL = "disk is full"
_SQLITE_UNWRITABLE = (_SQLITE_FULL, "disk I/O error", "readonly database", "unable to open database file")
_SQLITE_DAMAGED = ("malformed", "file is not a database")

MEANWHILE = "Clicks are answered meanwhile; labels, settings and trainings cannot be kept until then."


class DiskError(sqlite3.OperationalError):
    """The data folder cannot be written, or the database in it is damaged; the message says which and what to do."""


def is_full(error: BaseException) -> bool:
    """Whether the disk is full, as the error says or the one that led to it."""
    if error.__cause__ is not None and is_full(error.__cause__):
        return True
    if isinstance(error, OSError):
        return error.errno in _FULL
    return "No space left" in str(error) or (isinstance(error, sqlite3.Error) and _SQLITE_FULL in str(error))


def is_damage(error: BaseException) -> bool:
    """Whether a database file holds something else than a database."""
    return isinstance(error, sqlite3.DatabaseError) and any(word in str(error) for word in _SQLITE_DAMAGED)


def stops_writing(error: BaseException) -> bool:
    """Whether the place is to blame where something was to be written: it is full, read-only, or out of order."""
    if isinstance(error, (DiskError, FilesError)):
        return True
    if isinstance(error, sqlite3.OperationalError):
        return any(word in str(error) for word in _SQLITE_UNWRITABLE)
    return isinstance(error, OSError) and error.errno in _UNWRITABLE


class Disk:
    """What is known of the data folder of this process.

    Whoever fails to write says so by `failed`. From then on `problem` is a sentence, until a look finds that the
    folder, and the database in it, can be written again; then those in `on_recovery` are called, once.

    Args:
        folder: the data folder.
        clock: monotonic seconds.
    """

    LOOK_S = 3.0  # between two looks

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._problem = ""
        self._looked = -self.LOOK_S
        self._lock = threading.Lock()
        self._watching = False
        self.on_recovery: list[Callable[[], object]] = []
        self.try_database: Callable[[], None] = lambda: None
        """Writes something to the database; raises what keeps it from that."""
        self.try_files: Callable[[], None] = lambda: None
        """Writes something to where files are kept, when that is not the folder; raises what keeps it from that."""
        self.advice: Callable[[], str] = lambda: ""
        """What to do about a damaged database; said by whoever knows the copies of it."""
        self.watch = False
        """Whether a thread of its own looks while there is a problem; else only `look` does."""

    @property
    def problem(self) -> str:
        """Why nothing can be written, as a sentence; "" when it can, as far as is known."""
        return self._problem

    def failed(self, error: BaseException, sentence: str = "") -> DiskError:
        """Something could not be written: remember why. Answers the error in words, in `sentence` when it is given."""
        if isinstance(error, DiskError):
            return error
        sentence = sentence or self._words(error)
        with self._lock:
            new, self._problem = sentence != self._problem, sentence
            start = self.watch and not self._watching
            self._watching = self._watching or start
        if new:
            log.error("%s (%s)", sentence, error)
        if start:
            threading.Thread(target=self._wait, name="disk-watch", daemon=True).start()
        return DiskError(sentence)

    def look(self) -> str:
        """See whether the folder can be written, unless that was done just now; answers `problem`."""
        with self._lock:
            if self._clock() - self._looked < self.LOOK_S:
                return self._problem
            self._looked = self._clock()
        try:
            with tempfile.TemporaryFile(
                dir=self._folder, buffering=0
            ) as probe:  # has no name that could stay
                if (written := probe.write(b"\1" * PROBE_BYTES)) < PROBE_BYTES:
                    raise OSError(errno.ENOSPC, f"only {written} of {PROBE_BYTES} bytes could be written")
            if self._problem:
                self.try_database()
                self.try_files()
        except (OSError, sqlite3.Error) as error:
            if stops_writing(error) or is_damage(error):
                self.failed(error)
            return self._problem
        if self._problem:
            self._recovered()
        return self._problem

    def _words(self, error: BaseException) -> str:
        if isinstance(error, FilesError):
            return f"{error} {MEANWHILE}"
        if is_full(error):
            return f"The disk with the data folder is full: make room on it. {MEANWHILE}"
        if is_damage(error):
            return f"The database in the data folder is damaged ({error}). {self.advice()}".rstrip()
        if _is_read_only(self._folder):
            return f"The data folder cannot be written: its disk is read-only. See to it. {MEANWHILE}"
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        return (
            f"The data folder cannot be written ({reason}): see to it that the backend's user may write there. "
            f"{MEANWHILE}"
        )

    def _recovered(self) -> None:
        with self._lock:
            self._problem = ""
        log.warning("The data folder can be written again.")
        for tell in self.on_recovery:
            try:
                tell()
            except Exception:
                log.exception("What waited for the data folder could not be done")

    def _wait(self) -> None:
        while True:
            time.sleep(self.LOOK_S)
            self.look()
            with self._lock:
                if not self._problem:
                    self._watching = False
                    return


def _is_read_only(folder: Path) -> bool:
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        return False
