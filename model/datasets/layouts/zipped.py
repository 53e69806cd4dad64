"""Files of a layout as a zip file that is sent while it is written."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator

from model.datasets.layouts.picture import Entry

_DATE = (
    1980,
    1,
    1,
    0,
    0,
    0,
)  # the first that the format knows: the same files give the same bytes on any day
_PLAIN_FILE = 0o100644 << 16
_UNIX = 3
_TEXT = (".json", ".txt", ".csv", ".yaml")  # images are compressed already


def zipped(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The bytes of a zip file with these files, piece by piece; no more than one piece of a file is in memory."""
    written = _Pipe()
    with zipfile.ZipFile(written, "w") as archive:
        for entry in entries:
            about = zipfile.ZipInfo(entry.path, _DATE)
            about.create_system, about.external_attr = _UNIX, _PLAIN_FILE
            about.compress_type = zipfile.ZIP_DEFLATED if entry.path.endswith(_TEXT) else zipfile.ZIP_STORED
            with archive.open(about, "w", force_zip64=True) as file:
                for piece in entry.pieces:
                    file.write(piece)
                    yield written.taken()
            yield written.taken()
    yield written.taken()


class _Pipe:
    """What a zip file is written to: nobody can go back in it, and what was written is taken out."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        return

    def close(self) -> None:
        return

    def taken(self) -> bytes:
        """What was written since the last time."""
        whole = b"".join(self._pieces)
        self._pieces.clear()
        return whole
