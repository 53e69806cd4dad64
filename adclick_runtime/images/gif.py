"""GIF, of an animation the first frame."""

from __future__ import annotations

import struct

import numpy as np

from adclick_runtime.errors import ImageError
from adclick_runtime.images import opencv

_HEADER = 13
_EXTENSION, _FRAME = 0x21, 0x2C


def size(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas; raises struct.error."""
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def read(data: bytes) -> opencv.Pixels:
    """The picture, white around its first frame; raises ImageError."""
    left, top, right, bottom = _frame(data)
    width, height = size(data)
    if right > width or bottom > height:
        raise ImageError(
            f"The GIF's first frame reaches to {right} x {bottom}, out of its {width} x {height} pixels; save it as "
            "PNG."
        )
    shown = opencv.rgb(opencv.read(data, opencv.WITH_ALPHA, "GIF"))
    if (left, top, right, bottom) == (0, 0, width, height):
        return shown
    canvas = np.full_like(shown, 255)
    canvas[top:bottom, left:right] = shown[top:bottom, left:right]
    return canvas


def _frame(data: bytes) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the first frame; raises ValueError where none begins."""
    at = _HEADER + _table(data, 10)
    while at < len(data) and data[at] == _EXTENSION:
        at += 2
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    if data[at : at + 1] != bytes([_FRAME]):
        raise ValueError("no frame")
    left, top, width, height = struct.unpack_from("<HHHH", data, at + 1)
    return left, top, left + width, top + height


def _table(data: bytes, at: int) -> int:
    """Bytes of the table of colours whose flags stand at a place."""
    return int(3 * 2 ** ((data[at] & 7) + 1)) if data[at] & 0x80 else 0
