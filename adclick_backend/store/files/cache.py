"""Copies on this machine of what an object store keeps: a bounded folder, from which goes what was used longest ago."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from adclick_backend.lock_file import try_lock
from model.checkpoint.atomic import LEFTOVER_AGE_S, replacing

MANIFEST = ".manifest.json"
"""In a folder that was kept whole: path -> [bytes, SHA-256] of every file. Written last."""

TOUCH_S = 10.0
"""A copy that is used says so when it last said so longer ago."""

GRACE_S = 2 * TOUCH_S
"""What said that recently that it is used may be about to be opened by somebody, and stays."""

_LOCK = ".lock"


class _Copy(NamedTuple):
    used: float  # Unix seconds
    size: int  # bytes
    path: Path


class FileCache:
    """Copies of files and folders by name, and by a tag that changes with their content. Processes may share it.

    A file that somebody has open can be read to its end when its copy goes; a folder goes as a whole.

    Args:
        folder: of the copies.
        capacity_mb: megabytes that they may take; for a moment they may be a twentieth more.
    """

    def __init__(self, folder: Path, capacity_mb: int) -> None:
        self._folder, self._capacity = folder, capacity_mb << 20
        self._whole: set[tuple[Path, int]] = (
            set()
        )  # what was looked through; a power cut ends this process too
        self._added = self._capacity  # bytes since this process last looked whether something has to go

    def get(self, name: str, tag: str = "") -> Path | None:
        """The copy of a file or folder; None when there is none, or a power cut left only a part of it."""
        path = self.place(name, tag)
        try:
            status = path.stat()
            if (path, status.st_ino) not in self._whole:
                if not (is_whole(path) if path.is_dir() else status.st_size > 0):
                    return None
                self._whole.add((path, status.st_ino))
            if time.time() - status.st_mtime > TOUCH_S:
                os.utime(path)
        except OSError:
            return None
        return path

    def latest(self, name: str) -> Path | None:
        """The copy that was made last of what may have been replaced; for when the store cannot be asked."""
        place = self.place(name)
        found = [path for path in (place, *place.parent.glob(f".*@/{place.name}")) if path.exists()]
        return max(found, key=lambda path: path.stat().st_ctime, default=None)

    @contextmanager
    def adding(self, name: str, tag: str = "") -> Iterator[Path]:
        """A path to write a file or folder to, which becomes the copy when the block ends well.

        Raises:
            OSError: the disk is full; nothing is left of it.
        """
        place = self.place(name, tag)
        place.parent.mkdir(parents=True, exist_ok=True)
        half = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        try:
            yield half
            if half.is_dir():
                self._added += sum(size for size, _ in read_manifest(half).values())
                if not is_whole(place):
                    _delete(place)
                with suppress(OSError):  # another process was quicker
                    half.rename(place)
            else:
                self._added += half.stat().st_size
                half.replace(place)
        finally:
            _delete(half)
        self._trim(besides=place)

    def add(self, name: str, data: bytes, tag: str = "") -> Path:
        """Make a copy of a file; raises OSError when the disk is full."""
        place = self.place(name, tag)
        with replacing(place, durable=False) as half:
            half.write_bytes(data)
        self._added += len(data)
        self._trim(besides=place)
        return place

    def drop(self, name: str) -> None:
        """Forget a file or folder, and all that lies in it, whatever its tag."""
        place = self.place(name)
        for path in (place, *place.parent.glob(f".*@/{place.name}")):
            _delete(path)

    def place(self, name: str, tag: str = "") -> Path:
        """Where the copy of a file or folder is, or would be."""
        path = self._folder / name
        return path.parent / f".{tag}@" / path.name if tag else path

    def _trim(self, besides: Path) -> None:
        """Delete what was used longest ago when there is too much; one process does at a time."""
        if self._added < self._capacity // 20:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / _LOCK).open("a") as lock:
            if not try_lock(lock):
                return
            self._added = 0
            copies = sorted(_copies(self._folder))
            total, now = sum(copy.size for copy in copies), time.time()
            for copy in copies:
                if total <= self._capacity * 0.9:
                    return
                if copy.path != besides and now - copy.used > GRACE_S:
                    _delete(copy.path)
                    total -= copy.size


def read_manifest(folder: Path) -> dict[str, tuple[int, str]]:
    """Path -> bytes and SHA-256 of every file of a folder that was kept whole; raises OSError or ValueError."""
    return parse_manifest((folder / MANIFEST).read_bytes())


def parse_manifest(data: bytes) -> dict[str, tuple[int, str]]:
    """What is in a manifest; raises ValueError when it is none."""
    try:
        return {str(path): (int(size), str(sha)) for path, (size, sha) in json.loads(data)["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"This is no list of files: {data[:80]!r}.") from error


def is_whole(folder: Path) -> bool:
    """Whether a folder has every file that its manifest names, in its size."""
    try:
        return all(
            (folder / path).stat().st_size == size for path, (size, _) in read_manifest(folder).items()
        )
    except (OSError, ValueError):
        return False


def _copies(folder: Path) -> Iterator[_Copy]:
    """Every copy below a folder, one that was kept as a folder as one."""
    with suppress(FileNotFoundError):
        entries = list(os.scandir(folder))
        names = {entry.name for entry in entries}
        if MANIFEST in names:
            with suppress(OSError, ValueError):
                files = read_manifest(Path(folder))
                yield _Copy(folder.stat().st_mtime, sum(size for size, _ in files.values()), folder)
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _copies(Path(entry.path))
            elif entry.name != _LOCK:
                status = entry.stat()
                if not entry.name.startswith(".") or time.time() - status.st_mtime > LEFTOVER_AGE_S:
                    yield _Copy(status.st_mtime, status.st_size, Path(entry.path))


def _delete(path: Path) -> None:
    """Delete a copy; a folder is gone in one step for whoever looks."""
    with suppress(OSError):
        if not path.is_dir():
            path.unlink(missing_ok=True)
            return
        gone = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
