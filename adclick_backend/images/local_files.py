"""Label Studio's local files (``/data/local-files/?d=...``), read straight from the disk."""

from __future__ import annotations

import posixpath
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from adclick_backend.errors import ImageError

LOCAL_FILES_PATH = "/data/local-files"


def is_local_files_path(path: str) -> bool:
    """Whether a path on Label Studio (with its query) names a local file."""
    return urlsplit(path).path.rstrip("/") == LOCAL_FILES_PATH


class LocalFiles:
    """Reads the files below one folder, and nothing else.

    The folder is the one Label Studio serves local files from, mounted here as well. Every project of this
    backend may read all of it. No folder, or ``/``, which would be every file of the machine: nothing is read
    here, and the files are asked of Label Studio, which checks who may see them.
    """

    def __init__(self, root: Path | None, *, max_bytes: int) -> None:
        resolved = root.resolve() if root else None
        self._root = None if resolved is None or resolved == Path(resolved.anchor) else resolved
        self._max_bytes = max_bytes

    def read(self, path: str) -> bytes | None:
        """The file that a ``/data/local-files/?d=...`` path names; None when it is not on this disk.

        Raises ImageError when the name leads out of the folder (by ``..`` or a symbolic link) or the file
        cannot be read.
        """
        file = self._find(path)
        if file is None:
            return None
        try:
            return self._content(file)
        except OSError as error:
            raise ImageError(f"The local file {file.name[:200]!r} cannot be read: {error}.") from error

    def holds(self, path: str) -> bool:
        """Whether `read` has an answer of its own, a refusal included, so that Label Studio is not asked."""
        try:
            return self._find(path) is not None
        except ImageError:
            return True

    def _find(self, path: str) -> Path | None:
        if self._root is None:
            return None
        # Decoded once and joined the way Label Studio does it, so that both read the same file.
        name = (parse_qs(urlsplit(path).query).get("d") or [""])[-1]
        if not name or "\0" in name:
            raise ImageError(f"The local file address {path[:200]!r} names no file.")
        try:
            file = (self._root / posixpath.normpath(name).lstrip("/")).resolve()
            if not file.is_relative_to(self._root):
                raise ImageError(
                    f"The local file {name[:200]!r} leads out of {self._root}, so it was not read. "
                    "Put the file itself into that folder, not a link to it."
                )
            return file if file.is_file() else None
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
            raise ImageError(f"The local file {name[:200]!r} cannot be read: {error}.") from error

    def _content(self, file: Path) -> bytes:
        with file.open("rb") as stream:
            data = stream.read(self._max_bytes + 1)
        if len(data) > self._max_bytes:
            limit = f"{self._max_bytes / 1e6:g} MB (ADCLICK_MAX_IMAGE_MB)"
            raise ImageError(f"The local file {file.name} is larger than {limit}, so it was not read.")
        return data
