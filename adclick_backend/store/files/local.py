"""The data folder as the place for files: every name is a path in it, and nothing is copied."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from glob import escape
from pathlib import Path

from adclick_backend.store.files.kept import checked_name
from model.checkpoint.atomic import flush, write_atomically


class LocalFiles:
    """Files below a folder; see `Files`.

    Args:
        folder: the data folder.
    """

    local = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """See `Files`."""
        path = self.place(name)
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return path

    def place(self, name: str) -> Path:
        """See `Files`."""
        return self._folder / checked_name(name)

    def path_of_stem(self, name: str) -> Path:
        """See `Files`."""
        place = self.place(name)
        return next(place.parent.glob(f"{escape(place.name)}.*"), None) or self.path(name)

    def put(self, name: str, data: bytes, *, durable: bool = True) -> Path:
        """See `Files`."""
        path = self.place(name)
        write_atomically(path, data, durable=durable)
        return path

    def put_folder(self, name: str, folder: Path) -> None:
        """See `Files`."""
        path = self.place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            shutil.copytree(folder, half)
            for one in (*half.rglob("*"), half):
                flush(one)
            if path.exists():
                path.rename(old := path.with_name(f".{path.name}.{secrets.token_hex(4)}"))
                half.rename(path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                half.rename(path)
            flush(path.parent)
        finally:
            shutil.rmtree(half, ignore_errors=True)

    def exists(self, name: str) -> bool:
        """See `Files`."""
        return (self.place(name)).exists()

    def names(self, folder: str) -> list[str]:
        """See `Files`; what is being written is left out."""
        place = self._folder / checked_name(folder)
        return sorted(p.name for p in place.iterdir() if p.name[0] != ".") if place.is_dir() else []

    def move(self, old: str, new: str) -> None:
        """See `Files`."""
        target = self._folder / checked_name(new)
        target.parent.mkdir(parents=True, exist_ok=True)
        (self._folder / checked_name(old)).rename(target)

    def delete(self, name: str) -> None:
        """See `Files`."""
        path = self.place(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def size(self, folder: str) -> int:
        """See `Files`."""
        return sum(_size(path) for path in self.place(folder).rglob("*"))

    def age(self, name: str) -> float:
        """See `Files`."""
        return time.time() - (self.place(name)).stat().st_mtime

    def check(self) -> None:
        """See `Files`; `Disk` looks at the data folder itself."""


def _size(path: Path) -> int:
    try:
        return 0 if path.is_symlink() or not path.is_file() else path.stat().st_size
    except OSError:  # another process deleted it
        return 0
