"""PNG (ISO/IEC 15948), 1 to 16 bits a channel."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from adclick_runtime.errors import ImageError
from adclick_runtime.images import exif, opencv
from adclick_runtime.images.deep import DeepImage
from adclick_runtime.images.upright import turn

_SIGNATURE = 8
_END = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
_GREY = 0
_WITH_ALPHA = (4, 6)  # types of colour


def size(data: bytes) -> tuple[int, int]:
    """Width and height; raises ValueError where the header is missing."""
    if data[12:16] != b"IHDR":
        raise ValueError("no header")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def read(data: bytes) -> opencv.Pixels | DeepImage:
    """The picture, upright; raises ImageError."""
    head, ended = _head(data)
    if b"acTL" in head and b"fcTL" not in head:
        raise ImageError(
            "The PNG is animated, and its still picture is no part of the animation; save the one that is meant as a "
            "PNG of its own."
        )
    bits, colour = data[24], data[25]
    upright = turn(
        exif.orientation(head.get(b"eXIf", b""))
    )  # browsers take no notice of EXIF data behind the pixels
    key = head.get(b"tRNS", b"")
    transparent = colour in _WITH_ALPHA or bool(key)
    how = opencv.WITH_ALPHA if transparent or bits > 8 else opencv.AS_STORED
    found = opencv.read(data if ended else data + _END, how, "PNG")
    alpha = None
    if colour == _GREY and len(key) >= 2:  # which OpenCV takes no notice of
        (grey,) = struct.unpack_from(">H", key)
        shown = grey if bits > 8 else grey * (255 // (2**bits - 1))
        alpha = np.where(found == shown, 0, 255).astype(np.uint8)
    if bits > 8:
        deep = DeepImage.of_opencv(found, alpha)
        return deep.turned(upright)
    if alpha is not None:
        found = np.dstack([found, found, found, alpha])
    return np.asarray(upright(opencv.rgb(found)))


def _head(data: bytes) -> tuple[dict[bytes, bytes], bool]:
    """The chunks before the pixels, and whether the file has its end; raises ImageError for half a file."""
    head: dict[bytes, bytes] = {}
    pixels = False
    for name, content, whole in _chunks(data):
        if name == b"IEND":
            return head, True
        if not whole:
            break
        pixels = pixels or name == b"IDAT"
        if not pixels:
            head.setdefault(name, content)
    else:
        return head, False
    raise ImageError("The image file is damaged: it ends in the middle of the picture.")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Name and content of each chunk, the content only where it is short, and whether all of it is there."""
    at = _SIGNATURE
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        yield name, data[at + 8 : at + 8 + length] if length < 2**16 else b"", end <= len(data)
        at = end
