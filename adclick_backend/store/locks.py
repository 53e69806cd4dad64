"""Locks by name between processes: one of them at a time does what may be done once only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Protocol

from adclick_backend.lock_file import locked, try_lock


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
