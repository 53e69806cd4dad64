"""Text that is put together while other files are written, on disk instead of in memory."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

_PIECE = 1 << 20  # bytes


class Spool:
    """Collects text in a file without a name; a context manager that forgets it at its end.

    Args:
        folder: on the disk that has room for it; None for where temporary files are, which may be memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (closed by `__exit__`)
        self.empty = True

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, text: str) -> None:
        """Add some text, which may be lines."""
        self._file.write(text.encode())
        self.empty = False

    def add_row(self, *values: object) -> None:
        """Add a line of a table, its values separated by commas (RFC 4180)."""
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        self.add(line.getvalue())

    def pieces(self) -> Iterator[bytes]:
        """Everything that was added, from the beginning, in UTF-8."""
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            yield piece
