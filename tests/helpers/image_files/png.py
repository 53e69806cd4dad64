"""PNG: every depth and colour type, written chunk by chunk."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.helpers.image_files.picture import (
    HEIGHT,
    PROFILE,
    WIDTH,
    ImageFile,
    alpha,
    exif,
    grey,
    picture,
    saved,
    with_alpha,
)
from tests.helpers.image_files.profile import swapped_colours

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
# Where each pass of Adam7 starts and how far apart its pixels are: x, y, step in x, step in y.
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    values: NDArray[Any],
    colour: int,
    depth: int,
    *before: bytes,
    interlaced: bool = False,
    after: bytes = b"",
) -> bytes:
    """A PNG of values (H, W) or (H, W, channels), with chunks before and after the pixels."""
    height, width = values.shape[:2]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    passes = [values[y::dy, x::dx] for x, y, dx, dy in _ADAM7] if interlaced else [values]
    lines = b"".join(_lines(part, depth) for part in passes if part.size)
    pixels = chunk(b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + pixels + after + chunk(b"IEND", b"")


def _lines(values: NDArray[Any], depth: int) -> bytes:
    """Rows without a filter, each pixel in as many bits as it has."""
    rows = values.reshape(len(values), -1)
    if depth == 16:
        return b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=2)[..., 8 - depth :]
    return b"".join(b"\0" + np.packbits(row.reshape(-1)).tobytes() for row in bits)


def _palette(colours: int) -> bytes:
    ramp = [(255 * i // (colours - 1), 255 - 200 * i // (colours - 1), 37 * i % 256) for i in range(colours)]
    return chunk(b"PLTE", bytes(value for colour in ramp for value in colour))


def _deep(values: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """16 bits whose low bytes are not their high bytes."""
    return (values.astype(np.uint32) * 257 - (values // 3)).clip(0, 65535).astype(np.uint16)


def files() -> list[ImageFile]:
    """Every PNG."""

    def file(kind: str, data: bytes, **more: Any) -> ImageFile:
        return ImageFile(f"PNG, {kind}", data, ".png", **more)

    scene, g, a = picture(), grey(), alpha()
    deep, deep_grey = _deep(scene), _deep(g)
    rows = [file(f"grey {bits} bit", png(g >> (8 - bits), GREY, bits)) for bits in (1, 2, 4, 8)]
    rows += [
        file(f"palette {bits} bit", png(g >> (8 - bits), PALETTE, bits, _palette(2**bits)))
        for bits in (1, 2, 4, 8)
    ]
    key = int(g[3, 5])
    rows += [
        file("RGB 8 bit", png(scene, RGB, 8)),
        file("grey 8 bit with alpha", png(np.dstack([g, a]), GREY_ALPHA, 8), tolerance=1),
        file("RGBA 8 bit", png(with_alpha(), RGBA, 8), tolerance=1),
        *(
            file(
                f"grey {bits} bit, one grey transparent",
                png(g >> (8 - bits), GREY, bits, chunk(b"tRNS", b"\0\1")),
            )
            for bits in (1, 2, 4)
        ),
        file("grey 8 bit, one grey transparent", png(g, GREY, 8, chunk(b"tRNS", struct.pack(">H", key)))),
        file(
            "RGB 8 bit, one colour transparent",
            png(scene, RGB, 8, chunk(b"tRNS", struct.pack(">3H", *scene[3, 5]))),
        ),
        file(
            "palette 4 bit, half transparent colours",
            png(g >> 4, PALETTE, 4, _palette(16), chunk(b"tRNS", bytes(range(0, 250, 25)))),
            tolerance=1,
        ),
        file("palette 8 bit, shorter than its pixels say", png(g >> 5, PALETTE, 8, _palette(8))),
        # 16 bits: Chromium keeps the high byte, which is one grey level below the nearest in some pixels.
        file("grey 16 bit", png(deep_grey, GREY, 16), tolerance=1),
        file("RGB 16 bit", png(deep, RGB, 16), tolerance=1),
        file("grey 16 bit with alpha", png(np.dstack([deep_grey, _deep(a)]), GREY_ALPHA, 16), tolerance=2),
        file("RGBA 16 bit", png(np.dstack([deep, _deep(a)]), RGBA, 16), tolerance=2),
        file(
            "grey 16 bit, one grey transparent",
            png(deep_grey, GREY, 16, chunk(b"tRNS", struct.pack(">H", deep_grey[3, 5]))),
            tolerance=1,
        ),
        file(
            "RGB 16 bit, one colour transparent",
            png(deep, RGB, 16, chunk(b"tRNS", struct.pack(">3H", *deep[3, 5]))),
            tolerance=1,
        ),
        file(
            "grey 16 bit of a 12-bit camera",
            png(g.astype(np.uint16) * 16, GREY, 16),
            white=4095,
            differs="16 bits are shown with the white point of the product",
            pixels=np.dstack([np.rint(g * 16.0 * 255 / 4095).astype(np.uint8)] * 3),
        ),
        file("RGB 8 bit, interlaced", png(scene, RGB, 8, interlaced=True)),
        file("grey 16 bit, interlaced", png(deep_grey, GREY, 16, interlaced=True), tolerance=1),
        file("grey 1 bit, interlaced", png(g >> 7, GREY, 1, interlaced=True)),
        file(
            "sRGB chunk", png(scene, RGB, 8, chunk(b"sRGB", b"\0"), chunk(b"gAMA", struct.pack(">I", 45455)))
        ),
        file("gAMA of sRGB alone", png(scene, RGB, 8, chunk(b"gAMA", struct.pack(">I", 45455)))),
        file(
            "gAMA 1.0 and cHRM",
            png(scene, RGB, 8, chunk(b"gAMA", struct.pack(">I", 100000)), chunk(b"cHRM", _CHRM)),
            differs=PROFILE,
            pixels=scene,
        ),
        file(
            "iCCP, another colour space",
            png(scene, RGB, 8, chunk(b"iCCP", b"swapped\0\0" + zlib.compress(swapped_colours()))),
            differs=PROFILE,
            pixels=scene,
        ),
        file(
            "cICP, HDR (PQ)",
            png(scene, RGB, 8, chunk(b"cICP", b"\x09\x10\0\1")),
            differs=PROFILE,
            pixels=scene,
        ),
        file("bKGD, pHYs, tEXt, sBIT", png(scene, RGB, 8, *_HARMLESS)),
        *(
            file(f"EXIF orientation {turn}", png(scene, RGB, 8, chunk(b"eXIf", exif(turn)[6:])))
            for turn in (3, 6)
        ),
        file("EXIF orientation 6 behind the pixels", png(scene, RGB, 8, after=chunk(b"eXIf", exif(6)[6:]))),
        file(
            "grey 16 bit, EXIF orientation 8",
            png(deep_grey, GREY, 16, chunk(b"eXIf", exif(8)[6:])),
            tolerance=1,
        ),
        file("animated (APNG)", _animated()),
        file("animated, its still picture no part of it", _animated(default_image=True)),
        file("without its end (IEND)", png(scene, RGB, 8)[:-12]),
        file("bytes behind its end", png(scene, RGB, 8) + b"camera footer"),
    ]
    half = png(np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3)), RGB, 8)
    rows.append(file("half a file", half[: len(half) // 2], refused="The image file is damaged"))
    return rows


_CHRM = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_HARMLESS = (
    chunk(b"sBIT", b"\5\6\5"),
    chunk(b"bKGD", struct.pack(">3H", 255, 0, 255)),
    chunk(b"pHYs", struct.pack(">IIB", 2835, 5000, 1)),
    chunk(b"tEXt", b"Title\0picture"),
)


def _animated(**options: Any) -> bytes:
    first, second = Image.fromarray(picture()), Image.fromarray(255 - picture())
    return saved(first, "PNG", save_all=True, append_images=[second], duration=60_000, **options)
