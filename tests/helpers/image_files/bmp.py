"""BMP: every depth and header, written byte by byte."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.helpers.image_files.picture import HEIGHT, WIDTH, ImageFile, alpha, grey, picture

OPAQUE = "whoever wrote no alpha at all meant an opaque picture; some versions of Chromium show a white sheet"
_MASKS = struct.pack("<3I", 0xFF0000, 0xFF00, 0xFF)


def _file(header: bytes, palette: bytes, rows: bytes) -> bytes:
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows


def _header(
    bits: int,
    compression: int = 0,
    colours: int = 0,
    size: int = 0,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> bytes:
    return struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, size, 2835, 2835, colours, 0)


def _long_header(version: int, alpha_mask: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """BITMAPV4HEADER or BITMAPV5HEADER with four masks."""
    length = {4: 108, 5: 124}[version]
    info = _header(32, compression=3, width=width, height=height)
    masks = _MASKS + struct.pack("<I", alpha_mask)
    return (struct.pack("<I", length) + info[4:] + masks + b"BGRs").ljust(length, b"\0")


def alpha_zero(version: int, pixels: NDArray[np.uint8]) -> bytes:
    """RGB pixels (H, W, 3) in a 32-bit BMP that declares its fourth byte as alpha and leaves it 0."""
    height, width = pixels.shape[:2]
    header = _long_header(version, 0xFF000000, width, height)
    return _file(header, b"", _rows(np.dstack([pixels[..., ::-1], np.zeros((height, width), np.uint8)]), 32))


def _long(version: int, values: NDArray[np.uint8]) -> bytes:
    return _file(_long_header(version, 0xFF000000), b"", _rows(values, 32))


def _rows(values: NDArray[Any], bits: int) -> bytes:
    """Rows from the bottom up, each filled to four bytes."""
    lines = []
    for row in values[::-1]:
        if bits < 8:
            line = np.packbits(
                np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :].reshape(-1)
            ).tobytes()
        else:
            line = np.ascontiguousarray(row).tobytes()
        lines.append(line + bytes(-len(line) % 4))
    return b"".join(lines)


def _ramp(colours: int) -> bytes:
    return b"".join(
        bytes((37 * i % 256, 255 - 200 * i // (colours - 1), 255 * i // (colours - 1), 0))
        for i in range(colours)
    )


def _run_lengths(values: NDArray[np.uint8], bits: int) -> bytes:
    """RLE8 or RLE4: runs of one, a row at a time."""
    code = bytearray()
    for row in values[::-1]:
        for value in row:
            code += bytes((1, value if bits == 8 else value << 4))
        code += b"\0\0"
    return bytes(code + b"\0\1")


def files() -> list[ImageFile]:
    """Every BMP."""

    def file(kind: str, data: bytes, **more: Any) -> ImageFile:
        return ImageFile(f"BMP, {kind}", data, ".bmp", **more)

    g, scene = grey(), picture()
    bgr = np.ascontiguousarray(scene[..., ::-1])
    fourth = lambda values: np.dstack([bgr, values]).astype(np.uint8)  # noqa: E731
    zero = np.zeros((HEIGHT, WIDTH))
    r, gr, b = (scene[..., i].astype(np.uint16) for i in range(3))
    rows = [
        file(f"palette {bits} bit", _file(_header(bits), _ramp(2**bits), _rows(g >> (8 - bits), bits)))
        for bits in (1, 4, 8)
    ]
    return [
        *rows,
        file("palette of 20 colours", _file(_header(8, colours=20), _ramp(20), _rows(g >> 4, 8))),
        file(
            "16 bit (555)",
            _file(_header(16), b"", _rows((r >> 3 << 10) | (gr >> 3 << 5) | b >> 3, 16)),
            tolerance=1,
        ),
        file(
            "16 bit (565)",
            _file(
                _header(16, compression=3) + struct.pack("<3I", 0xF800, 0x7E0, 0x1F),
                b"",
                _rows((r >> 3 << 11) | (gr >> 2 << 5) | b >> 3, 16),
            ),
            tolerance=1,
        ),
        file("24 bit", _file(_header(24), b"", _rows(bgr, 24))),
        file("24 bit, from the top down", _file(_header(24, height=-HEIGHT), b"", _rows(bgr[::-1], 24))),
        file("24 bit, OS/2", _file(struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 24), b"", _rows(bgr, 24))),
        file("RLE8", _file(_header(8, 1, size=len(_run_lengths(g, 8))), _ramp(256), _run_lengths(g, 8))),
        file(
            "RLE4",
            _file(_header(4, 2, size=len(_run_lengths(g >> 4, 4))), _ramp(16), _run_lengths(g >> 4, 4)),
        ),
        file("32 bit, fourth byte 0", _file(_header(32), b"", _rows(fourth(zero), 32))),
        file("32 bit, fourth byte 255", _file(_header(32), b"", _rows(fourth(zero + 255), 32))),
        file("32 bit, fourth byte of all sorts", _file(_header(32), b"", _rows(fourth(alpha()), 32))),
        file("32 bit, masks", _file(_header(32, compression=3) + _MASKS, b"", _rows(fourth(zero), 32))),
        *(
            file(f"32 bit V{version}, {kind}", _long(version, fourth(values)), **more)
            for version in (4, 5)
            for kind, values, more in (
                ("alpha", alpha(), {"tolerance": 1}),
                ("alpha all zero", zero, {"differs": OPAQUE, "pixels": scene, "varies": True}),
                ("alpha all 255", zero + 255, {}),
            )
        ),
        file("32 bit V5, no alpha mask", _file(_long_header(5, 0), b"", _rows(fourth(alpha()), 32))),
        file(
            "half a file", _file(_header(24), b"", _rows(bgr, 24))[:600], refused="The image file is damaged"
        ),
    ]
