"""Mask <-> Label Studio brush RLE, bounded by the size the region declares.

Label Studio stores a brush region as the run-length code of its RGBA canvas (thi.ng/rle-pack), one byte per
list element, most significant bit first::

    32 bits  number of values, 4 * width * height
     5 bits  word size - 1, always 7: the values are bytes
    4 x 4    run-length sizes - 1; Label Studio writes 3, 4, 8 and 16 bits
    then     1 + 2 bits: is it a run, which of the four sizes; the length - 1; the value of the run, or every
             value of what is none
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# The largest image whose mask is decoded. A run of 65 536 values takes 27 bits, so without a bound a few
# hundred kilobytes ask for gigabytes.
MAX_PIXELS = 120_000_000

_WORD = 8  # bits of a value
_SIZES = (3, 4, 8, 16)  # bits of a run length
_LONGEST = 1 << _SIZES[-1]
_HEADER_BITS = 32 + 5 + 4 * 4
# Everything but the number of values: word size - 1 and the four sizes - 1.
_FORMAT, _FORMAT_BITS = 0b00111_0010_0011_0111_1111, 21


class BrushError(ValueError):
    """A mask or a brush RLE that cannot be converted; the message is one sentence for a person."""


def encode_rle(mask: NDArray[np.bool_] | NDArray[np.uint8]) -> list[int]:
    """Encode a mask as Label Studio's brush RLE.

    Args:
        mask: HW, bool or uint8; every nonzero pixel becomes opaque.

    Returns:
        Bytes as ints in [0, 255], the same ones that ``label_studio_sdk.converter.brush.mask2rle`` gives for
        a mask of 0 and 255.

    Raises:
        BrushError: the mask is not HW, empty, or holds more than 2**30 - 1 pixels.
    """
    if mask.ndim != 2 or mask.size == 0:
        raise BrushError(f"A mask needs the shape height x width, both at least 1, but has {mask.shape}.")
    if 4 * mask.size >= 1 << 32:
        raise BrushError(
            f"A mask of {mask.shape[1]} x {mask.shape[0]} pixels is too large for Label Studio's RLE."
        )
    opaque = np.ascontiguousarray(mask).ravel() != 0
    edges = np.flatnonzero(opaque[1:] != opaque[:-1]) + 1
    starts = np.concatenate(([0], edges))
    lengths = 4 * np.diff(np.concatenate((starts, [opaque.size])))  # four equal channels
    # The size that fits the whole run; what is left over of a long one keeps it, as in the SDK.
    which = np.searchsorted([1 << size for size in _SIZES[:-1]], lengths)
    lengths, which, opaque = _split_long_runs(lengths, which, opaque[starts])

    size = np.array(_SIZES)[which]
    codes = (0b100 | which) << size | (lengths - 1)
    codes = codes << _WORD | np.where(opaque, 255, 0)
    return _pack_bits(
        np.concatenate(([4 * mask.size, _FORMAT], codes)),
        np.concatenate(([32, _FORMAT_BITS], 3 + size + _WORD)),
    )


def _split_long_runs(
    lengths: NDArray[np.int64], which: NDArray[np.int64], values: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Cut every run longer than the format can say into full ones and a rest of at least one value."""
    pieces = (lengths - 1) // _LONGEST + 1
    split = np.full(int(pieces.sum()), _LONGEST, dtype=np.int64)
    split[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _LONGEST
    return split, np.repeat(which, pieces), np.repeat(values, pieces)


def _pack_bits(codes: NDArray[np.int64], widths: NDArray[np.int64]) -> list[int]:
    """Write codes of up to 32 bits one after the other, then at least one zero bit, as the SDK does."""
    ends = np.cumsum(widths)
    first_byte, offset = np.divmod(ends - widths, 8)
    window = codes << (40 - offset - widths)  # 40 bits from the byte in which the code begins
    total = np.zeros(int(ends[-1]) // 8 + 1 + 5)
    for k in range(5):
        # Codes share bytes but never bits, so adding is the same as or-ing.
        total += np.bincount(first_byte + k, weights=window >> (32 - 8 * k) & 0xFF, minlength=total.size)
    packed: list[int] = total[: int(ends[-1]) // 8 + 1].astype(np.uint8).tolist()
    return packed


def decode_rle(
    rle: Sequence[int], width: int, height: int, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.bool_]:
    """Decode a brush RLE; memory is bounded by the declared size, time by that and the length of ``rle``.

    Args:
        rle: bytes as ints in [0, 255].
        width: ``original_width`` of the region, pixels.
        height: ``original_height`` of the region, pixels.
        max_pixels: larger regions are refused before anything is allocated.

    Returns:
        HW bool, True where alpha > 0.

    Raises:
        BrushError: anything malformed, with one sentence that says what.
    """
    data = _to_bytes(rle)
    if not isinstance(width, int) or not isinstance(height, int):
        raise BrushError(
            f"A brush region needs its size in whole pixels, not {width!r:.40} x {height!r:.40}."
        )
    if width < 1 or height < 1 or width * height > max_pixels:
        raise BrushError(f"A brush region of {width} x {height} pixels is outside 1 to {max_pixels} pixels.")
    if 8 * len(data) < _HEADER_BITS:
        raise BrushError(f"A brush RLE of {len(data)} bytes ends inside its header.")
    total, sizes = _read_header(data)
    if total != 4 * width * height:
        raise BrushError(
            f"The brush RLE holds {total} values, but {width} x {height} pixels have {4 * width * height}."
        )
    mask = np.zeros(width * height, dtype=np.bool_)
    _read_runs(data, sizes, mask)
    return mask.reshape(height, width)


def _to_bytes(rle: object) -> bytes:
    if not isinstance(rle, Sequence):
        raise BrushError(f"A brush RLE is a list of bytes, not {type(rle).__name__}.")
    try:
        return bytes(rle)
    except (TypeError, ValueError):
        raise BrushError("A brush RLE is a list of whole numbers from 0 to 255.") from None


def _read_header(data: bytes) -> tuple[int, tuple[int, int, int, int]]:
    """The number of values and the bits of the four run-length sizes."""
    header = int.from_bytes(data[:7], "big") >> (8 * 7 - _HEADER_BITS)
    word = (header >> 16 & 0b11111) + 1
    if word != _WORD:
        raise BrushError(f"The brush RLE holds {word}-bit values, but Label Studio writes {_WORD}-bit ones.")
    a, b, c, d = ((header >> shift & 0b1111) + 1 for shift in (12, 8, 4, 0))
    return header >> 21, (a, b, c, d)


def _read_runs(data: bytes, sizes: Sequence[int], mask: NDArray[np.bool_]) -> None:
    """Fill the flat mask from the alpha values of all runs."""
    end = 8 * len(data)
    padded = data + bytes(5)
    at, start, total = _HEADER_BITS, 0, 4 * mask.size  # bit in the data, value on the canvas
    while start < total:
        # The longest prefix is 3 + 16 + 8 bits: with the offset inside its first byte it fits 5 bytes.
        window = int.from_bytes(padded[at >> 3 : (at >> 3) + 5], "big") << (at & 7) & 0xFF_FFFF_FFFF
        size = sizes[window >> 37 & 0b11]
        length = (window >> (37 - size) & (1 << size) - 1) + 1
        at += 3 + size
        stop = start + length
        is_run = window >> 39
        data_end = at + (_WORD if is_run else _WORD * length)
        if data_end > end:
            raise BrushError(f"The brush RLE ends after {start} of {total} values.")
        if stop > total:
            raise BrushError(f"The brush RLE runs past its {total} values.")
        # Alpha is every fourth value from 3 on: the values [start, stop) hold the alpha of the pixels
        # [start // 4, stop // 4).
        if is_run:
            if window >> (37 - size - _WORD) & 0xFF:
                mask[start // 4 : stop // 4] = True
        else:
            values = np.frombuffer(_read_bytes(data, at, length), dtype=np.uint8)
            mask[start // 4 : stop // 4] = values[3 - start % 4 :: 4] != 0
        at, start = data_end, stop


def _read_bytes(data: bytes, at: int, count: int) -> bytes:
    """``count`` bytes from bit ``at`` on."""
    end = at + 8 * count
    chunk = int.from_bytes(data[at >> 3 : (end + 7) >> 3], "big") >> (-end % 8)
    return (chunk & (1 << 8 * count) - 1).to_bytes(count, "big")
