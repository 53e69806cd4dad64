"""BMP, of Windows and of OS/2."""

from __future__ import annotations

import struct

import numpy as np

from adclick_runtime.errors import ImageError
from adclick_runtime.images import opencv

_HEADER = 14  # where the header begins that says how long it is
_OS2 = 12
_WITH_ALPHA_MASK = 56  # bytes of a header, at least
_MASKS = 3  # kind of compression


def size(data: bytes) -> tuple[int, int]:
    """Width and height, the latter without the sign that says where the rows begin; raises struct.error."""
    if _length(data) == _OS2:
        width, height = struct.unpack_from("<HH", data, _HEADER + 4)
    else:
        width, height = struct.unpack_from("<ii", data, _HEADER + 4)
    return width, abs(height)


def read(data: bytes) -> opencv.Pixels:
    """The picture; raises ImageError."""
    at, long = (_HEADER + 10, False) if _length(data) == _OS2 else (_HEADER + 14, True)
    bits, compression = (
        struct.unpack_from("<HI", data, at) if long else (struct.unpack_from("<H", data, at)[0], 0)
    )
    if bits == 16:
        raise ImageError(
            "The BMP has 16 bits a pixel, which OpenCV shows too dark; save it with 24, or as PNG."
        )
    masked = bits == 32 and compression == _MASKS and _length(data) >= _WITH_ALPHA_MASK
    if not masked or not any(data[_HEADER + 52 : _HEADER + 56]):
        return opencv.rgb(opencv.read(data, opencv.AS_STORED, "BMP"))
    found = opencv.read(data, opencv.WITH_ALPHA, "BMP")
    # An alpha of 0 in every pixel is none: whoever wrote it did not think of it.
    return opencv.rgb(
        found if found.shape[2] == 4 and np.any(found[..., 3]) else np.ascontiguousarray(found[..., :3])
    )


def _length(data: bytes) -> int:
    (length,) = struct.unpack_from("<I", data, _HEADER)
    return int(length)
