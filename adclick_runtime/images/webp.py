"""WebP (RFC 9649), of an animation the first frame; browsers do not turn it, whatever its EXIF data says."""

from __future__ import annotations

import struct

from adclick_runtime.images import opencv


def size(data: bytes) -> tuple[int, int]:
    """Width and height; raises struct.error, or ValueError where the header is none of the three."""
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return width, height
    if kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", data, 21)
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
        return width, height
    raise ValueError("no header")


def read(data: bytes) -> opencv.Pixels:
    """The picture; raises ImageError."""
    return opencv.rgb(opencv.read(data, opencv.WITH_ALPHA, "WebP"))
