"""What every place for files can do, and what can be wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from adclick_backend.errors import FilesError
from model.checkpoint.atomic import LEFTOVER_AGE_S

__all__ = ["Files", "FilesError", "checked_name", "is_young"]


class Files(Protocol):
    """A place for files. Names are relative POSIX paths, such as ``projects/3/references/1f2e....png``.

    Whatever is kept is kept whole or not at all. A name that ends in a SHA-256, in 32 hexadecimal digits, or in ``.``
    and 16 of them, stands for the same content for ever; what lies under any other name may be replaced.

    Attributes:
        local: whether that is the data folder, where every name is a path.
    """

    local: bool

    def path(self, name: str) -> Path:
        """Where on this machine a file or folder can be read, fetched when need be.

        Raises:
            FileNotFoundError: there is none.
            FilesError: the place cannot be reached.
        """

    def place(self, name: str) -> Path:
        """Where on this machine a file is read once it is here; nothing is fetched, and there may be none."""

    def path_of_stem(self, name: str) -> Path:
        """See :meth:`path`, of the file that has that name with any ending, such as ``.png``, after it."""

    def put(self, name: str, data: bytes, *, durable: bool = True) -> Path:
        """Keep a file, in the place of one that may be there; answers where on this machine it can be read.

        Args:
            name: of the file.
            data: what is in it.
            durable: see `model.checkpoint.atomic.replacing`; what is kept elsewhere is always safe.

        Raises:
            OSError: it cannot be kept; what was there before still is.
        """

    def put_folder(self, name: str, folder: Path) -> None:
        """Keep a copy of a folder with all that is in it, in the place of one that may be there.

        Raises:
            OSError: it cannot be kept, and then is not there.
        """

    def exists(self, name: str) -> bool:
        """Whether there is such a file or whole folder."""

    def names(self, folder: str) -> list[str]:
        """The names, in order, of what lies directly in a folder; none when it is not there."""

    def move(self, old: str, new: str) -> None:
        """Give a file or folder another name; raises FileNotFoundError when there is none."""

    def delete(self, name: str) -> None:
        """Delete a file, or a folder with all that is in it; nothing happens when there is none."""

    def size(self, folder: str) -> int:
        """Bytes of all that is in a folder."""

    def age(self, name: str) -> float:
        """Seconds since a file or folder was written; raises FileNotFoundError when there is none."""

    def check(self) -> None:
        """Write, and delete, something small; raises FilesError in words when that cannot be done."""


def checked_name(name: str) -> str:
    """The name, when it stays within the place; raises ValueError."""
    parts = name.split("/")
    if not name or any(part in ("", ".", "..") for part in parts) or "\\" in name:
        raise ValueError(f"{name[:80]!r} is no name of a file that is kept.")
    return name


def is_young(files: Files, name: str) -> bool:
    """Whether a file was written just now: what refers to it may be about to be written as well."""
    try:
        return files.age(name) <= LEFTOVER_AGE_S
    except FileNotFoundError:  # somebody else swept it
        return True
