"""Downloaded images on disk: apart for each project, least recently used ones go first."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from adclick_backend.errors import ImageError
from adclick_backend.keyed_locks import KeyedLocks
from adclick_backend.moments import is_within
from model.checkpoint.atomic import write_atomically

logger = logging.getLogger(__name__)

_SLACK_S = 60.0  # that the clock of a file server may be ahead of ours

_PROJECT_ID = re.compile(r"[0-9]+")


class DownloadCache:
    """Bytes by (project, URL) in ``<folder>/<project>/<sha256>``.

    Several processes may share the folder: files appear whole (temporary file, then rename) and may vanish at
    any time. A file's modification time is that of the download, its access time that of the last use.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._locks = KeyedLocks()
        self._unmeasured = max_bytes  # bytes written since the folder was measured; the first write measures

    def get(
        self, project: str, url: str, download: Callable[[], bytes], *, max_age_s: float | None = None
    ) -> bytes:
        """The bytes behind ``url`` for this project, downloaded by one thread at a time if they are not here.

        Args:
            project: digits only, since it becomes a path; ImageError otherwise.
            max_age_s: older copies are downloaded again; None for addresses whose content never changes.
        """
        path = self._path(project, url)
        with self._locks.hold(path):
            data = self._read(path, max_age_s)
            if data is None:
                data = download()
                self._write(path, data)
        return data

    def _path(self, project: str, url: str) -> Path:
        if not _PROJECT_ID.fullmatch(project):
            raise ImageError(f"The project id {project!r} is not a number.")
        return self._folder / project / hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()

    def _read(self, path: Path, max_age_s: float | None) -> bytes | None:
        try:
            downloaded = path.stat().st_mtime
            if max_age_s is not None and not is_within(downloaded - _SLACK_S, max_age_s + _SLACK_S):
                return None
            with suppress(OSError):  # the disk may be read-only
                os.utime(path, (time.time(), downloaded))
            # A power cut may leave an empty file behind a rename; it counts as no file.
            return path.read_bytes() or None
        except OSError:
            return None

    def _write(self, path: Path, data: bytes) -> None:
        """Keep a copy. A disk that is full or read-only costs the copy, not the image."""
        try:
            write_atomically(path, data, durable=False)
            self._evict(len(data))
        except OSError as error:
            logger.warning("The download cache in %s cannot be written: %s", self._folder, error)

    def _evict(self, written: int) -> None:
        """Bring the folder under its limit; looks at it only after every twentieth of the limit written."""
        self._unmeasured += written
        if self._unmeasured < self._max_bytes // 20:
            return
        self._unmeasured = 0
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self._max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Last use, size in bytes and path of every file."""
        for path in self._folder.glob("[0-9]*/*"):
            with suppress(FileNotFoundError):  # another process evicts too
                status = path.stat()
                yield status.st_atime, status.st_size, path
