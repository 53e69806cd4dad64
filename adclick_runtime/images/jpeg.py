"""JPEG (ITU-T T.81), of which MPO is several in one file."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.errors import ImageError
from adclick_runtime.images import exif, opencv
from adclick_runtime.images.upright import turn

_END = b"\xff\xd9"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers that are followed by the size
_SCAN = 0xDA
_APPLICATION_1 = 0xE1
_EXIF = b"Exif\0\0"


def size(data: bytes) -> tuple[int, int]:
    """Width and height as they are stored; raises ValueError where no frame begins before the pixels."""
    for marker, content in _segments(data):
        if marker in _FRAMES and len(content) >= 5:
            height, width = struct.unpack_from(">HH", content, 1)
            return width, height
    raise ValueError("no frame")


def read(data: bytes) -> opencv.Pixels:
    """The picture, upright; raises ImageError."""
    upright = turn(_orientation(data))
    found = opencv.decoded(data, opencv.AS_STORED)
    if found is None and not data.endswith(_END):
        found = _without_end(data)
    if found is None:
        raise ImageError("The image file is damaged: it is no whole JPEG.")
    return np.asarray(upright(opencv.rgb(found)))


def _without_end(data: bytes) -> NDArray[np.uint8] | None:
    """A JPEG that lacks nothing but its end marker, as some cameras and grabbers leave it; None for half a picture.

    Where pixels are missing, they depend on what follows. So it is completed in three ways, which must not differ.
    """
    start = data.rstrip(b"\xff")
    first, *others = (
        opencv.decoded(start + filling + _END, opencv.AS_STORED)
        for filling in (b"", b"\x55" * 64, b"\xaa" * 64)
    )
    if first is None or not all(other is not None and np.array_equal(first, other) for other in others):
        return None
    return np.asarray(first, np.uint8)


def _orientation(data: bytes) -> int:
    for marker, content in _segments(data):
        if marker == _APPLICATION_1 and content.startswith(_EXIF):
            return exif.orientation(content[len(_EXIF) :])
    return 1


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment before the pixels."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a marker may be filled up with these
            at += 1
            continue
        if marker == _SCAN:
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)
