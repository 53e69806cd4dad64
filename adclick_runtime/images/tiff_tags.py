"""The first directory of a TIFF, or of EXIF data, which is written in the same way (TIFF 6.0, section 2; BigTIFF)."""

from __future__ import annotations

import struct

WIDTH = 256
HEIGHT = 257
BITS_PER_SAMPLE = 258
PHOTOMETRIC = 262
SAMPLES = 277
PLANES = 284
EXTRA_SAMPLES = 338

_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_MOST_VALUES = 16


def tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """Tag -> its values, of those that are up to 16 whole numbers; of a tag that comes twice, the first.

    Args:
        data: of the file, from its byte order on.

    Raises:
        ValueError: there is no such directory.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        raise ValueError("no byte order")
    try:
        return _directory(data, order)
    except (struct.error, OverflowError):
        raise ValueError("the directory lies behind the end of the file") from None


def _directory(data: bytes, order: str) -> dict[int, tuple[int, ...]]:
    (version,) = struct.unpack_from(order + "H", data, 2)
    if version not in (42, 43):
        raise ValueError(f"version {version}")
    big = version == 43
    number, count_format, inline = ("Q", "Q", 8) if big else ("I", "H", 4)
    (start,) = struct.unpack_from(order + number, data, 8 if big else 4)
    (count,) = struct.unpack_from(order + count_format, data, start)
    entry = struct.Struct(order + "HH" + number)
    step, first = entry.size + inline, start + struct.calcsize(count_format)
    found: dict[int, tuple[int, ...]] = {}
    for at in range(first, first + min(count, 4096) * step, step):
        tag, kind, values = entry.unpack_from(data, at)
        if kind in _WHOLE_NUMBERS and 0 < values <= _MOST_VALUES and tag not in found:
            layout = f"{order}{values}{_WHOLE_NUMBERS[kind]}"
            where = at + entry.size
            if struct.calcsize(layout) > inline:
                (where,) = struct.unpack_from(order + number, data, where)
            found[tag] = struct.unpack_from(layout, data, where)
    return found
