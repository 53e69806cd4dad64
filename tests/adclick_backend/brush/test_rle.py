"""The brush codec is Label Studio's, byte for byte, and survives every body it may be sent."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from label_studio_sdk.converter import brush as sdk
from numpy.typing import NDArray

from adclick_backend.brush.rle import BrushError, decode_rle, encode_rle

mask2rle: Callable[[NDArray[np.int64]], list[int]] = sdk.mask2rle  # the oracle
FIXTURES = Path(__file__).parents[2] / "fixtures"
SIZES = (3, 4, 8, 16)

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40))
seeded = settings(derandomize=True, deadline=None)


def ellipse(width: int, height: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[:height, :width]
    inside: NDArray[np.bool_] = ((x / width - 0.5) / 0.4) ** 2 + ((y / height - 0.5) / 0.3) ** 2 < 1
    return inside


def scratch(width: int, height: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[:height, :width]
    inside: NDArray[np.bool_] = np.abs(x - 2 * y) < 2
    return inside


SHAPES = {
    "one pixel": np.ones((1, 1), bool),
    "nothing": np.zeros((300, 400), bool),
    "everything": np.ones((300, 400), bool),
    "row": np.eye(1, 500, 77, dtype=bool),
    "column": np.eye(500, 1, dtype=bool),
    "run of exactly 65536 values": np.arange(40_000)[None] < 16_384,
    "run of 65536 values and one more pixel": np.arange(40_000)[None] < 16_385,
    "run of 131072 values and 100 more pixels": np.arange(40_000)[None] < 32_868,
    "runs of every code length": np.repeat(np.arange(10) % 2 == 0, [1, 2, 3, 4, 5, 64, 65, 66, 9, 1])[None],
    "checkerboard": np.indices((64, 65)).sum(axis=0) % 2 == 0,
    "ellipse": ellipse(640, 480),
    "scratch": scratch(640, 480),
    "not contiguous": ellipse(640, 480).T[::2, ::-1],
}


@pytest.mark.parametrize("mask", SHAPES.values(), ids=SHAPES.keys())
def test_encoding_is_label_studios(mask: NDArray[np.bool_]) -> None:
    assert encode_rle(mask) == mask2rle(np.where(mask, 255, 0))


@pytest.mark.parametrize("mask", SHAPES.values(), ids=SHAPES.keys())
def test_decoding_gives_the_mask_back(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(decode_rle(encode_rle(mask), mask.shape[1], mask.shape[0]), mask)


@seeded
@given(masks)
def test_every_mask_is_encoded_as_label_studio_does(mask: NDArray[np.bool_]) -> None:
    rle = encode_rle(mask)
    assert rle == mask2rle(np.where(mask, 255, 0))
    np.testing.assert_array_equal(decode_rle(rle, mask.shape[1], mask.shape[0]), mask)


def test_every_nonzero_value_is_opaque() -> None:
    mask = np.array([[0, 1, 2, 255]], dtype=np.uint8)
    assert encode_rle(mask) == encode_rle(mask > 0)
    assert all(type(byte) is int for byte in encode_rle(mask))  # numpy integers are no JSON


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (4,), (2, 2, 4)])
def test_a_mask_must_be_height_by_width(shape: tuple[int, ...]) -> None:
    with pytest.raises(BrushError, match="needs the shape height x width"):
        encode_rle(np.zeros(shape, dtype=bool))


def test_a_mask_too_large_for_the_header_is_refused() -> None:
    pixel = np.zeros((1, 1), dtype=bool)
    with pytest.raises(BrushError, match="32768 x 32768"):
        encode_rle(np.broadcast_to(pixel, (32_768, 32_768)))


def pack(canvas: NDArray[np.uint8], cuts: Sequence[tuple[int, int, bool]]) -> list[int]:
    """Encode a flat canvas piece by piece: (length, index of the length's size, written as a run)."""
    bits = f"{canvas.size:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in SIZES)
    start = 0
    for length, which, as_run in cuts:
        piece = canvas[start : start + min(length, 1 << SIZES[which])]
        as_run = as_run and bool((piece == piece[0]).all())
        bits += f"{as_run:b}{which:02b}{len(piece) - 1:0{SIZES[which]}b}"
        bits += "".join(f"{value:08b}" for value in (piece[:1] if as_run else piece))
        start += len(piece)
        if start == canvas.size:
            break
    else:
        return pack(canvas, [*cuts, (canvas.size - start, 3, False)])
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@seeded
@given(
    arrays(
        np.uint8, st.integers(1, 60).map(lambda pixels: 4 * pixels), elements=st.sampled_from([0, 9, 255])
    ),
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3), st.booleans()), max_size=40),
)
def test_alpha_is_found_however_the_canvas_was_cut(
    canvas: NDArray[np.uint8], cuts: list[tuple[int, int, bool]]
) -> None:
    """A browser writes colours, literal values, and runs that begin and end inside a pixel."""
    rle = pack(canvas, cuts)
    np.testing.assert_array_equal(sdk.decode_rle(rle), canvas)
    np.testing.assert_array_equal(decode_rle(rle, canvas.size // 4, 1)[0], canvas[3::4] > 0)


def test_masks_that_a_browser_saved_are_read() -> None:
    calls = json.loads((FIXTURES / "ui_interactive_calls.json").read_text())
    saved = next(json.loads(call["req"]) for call in calls if call["method"] == "PATCH")
    regions = [region for region in saved["result"] if region["type"] == "brushlabels"]
    for region in regions:
        rle, width, height = region["value"]["rle"], region["original_width"], region["original_height"]
        expected = sdk.decode_rle(rle).reshape(height, width, 4)[:, :, 3] > 0
        np.testing.assert_array_equal(decode_rle(rle, width, height), expected)
    assert len(regions) == 3


def header(values: int, word: int = 8, sizes: Sequence[int] = SIZES) -> list[int]:
    """The header, and 3 bits of what follows, all zero."""
    bits = f"{values:032b}{word - 1:05b}" + "".join(f"{size - 1:04b}" for size in sizes) + "000"
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


GOOD = encode_rle(ellipse(20, 10))


@pytest.mark.parametrize(
    ("rle", "sentence"),
    [
        ([], "A brush RLE of 0 bytes ends inside its header."),
        (GOOD[:6], "A brush RLE of 6 bytes ends inside its header."),
        (GOOD[:7], "ends after 0 of 800 values"),
        (GOOD[:-3], "of 800 values"),
        (encode_rle(ellipse(10, 10)), "holds 400 values, but 20 x 10 pixels have 800"),
        (header(2**32 - 1), "holds 4294967295 values"),
        (header(0), "holds 0 values"),
        (header(800, word=16), "16-bit values"),
        (header(800, word=1), "1-bit values"),
        ([*header(800)[:4], *encode_rle(np.ones((20, 20), bool))[4:]], "runs past its 800 values"),
        ([*GOOD[:8], 256], "whole numbers from 0 to 255"),
        ([*GOOD[:8], -1], "whole numbers from 0 to 255"),
        ([*GOOD[:8], 1.0], "whole numbers from 0 to 255"),
        ([*GOOD[:8], None], "whole numbers from 0 to 255"),
        ([GOOD], "whole numbers from 0 to 255"),
        ("0,0,3,32", "whole numbers from 0 to 255"),
        (None, "not NoneType"),
        (10**9, "not int"),
        ({"rle": GOOD}, "not dict"),
    ],
)
def test_malformed_rle_is_named(rle: list[int], sentence: str) -> None:
    """reliability row 7"""
    with pytest.raises(BrushError, match=sentence):
        decode_rle(rle, 20, 10)


@pytest.mark.parametrize("size", [(None, 10), (20, "10"), (20.5, 10), (float("nan"), 10)])
def test_sizes_that_are_no_numbers_of_pixels_are_refused(size: tuple[int, int]) -> None:
    """reliability row 7"""
    with pytest.raises(BrushError, match="needs its size in whole pixels"):
        decode_rle(GOOD, *size)


@pytest.mark.parametrize("size", [(0, 10), (20, 0), (-20, -10), (20_000, 10_000)])
def test_sizes_that_no_region_has_are_refused(size: tuple[int, int]) -> None:
    """reliability row 7"""
    with pytest.raises(BrushError, match="is outside 1 to 120000000 pixels"):
        decode_rle(GOOD, *size)


@seeded
@given(
    st.binary(max_size=60)
    | st.binary(max_size=60).map(lambda tail: bytes(header(4 * 12 * 5)) + tail)
    | st.lists(st.integers(0, len(GOOD) - 1), max_size=4).map(
        lambda places: bytes(255 - byte if i in places else byte for i, byte in enumerate(GOOD))
    )
)
def test_any_bytes_give_a_mask_or_a_brush_error(data: bytes) -> None:
    """reliability row 7"""
    for width, height in ((12, 5), (20, 10)):
        try:
            mask = decode_rle(list(data), width, height)
        except BrushError as error:
            assert str(error).endswith(".")
        else:
            assert mask.shape == (height, width)
            assert mask.dtype == np.bool_


@pytest.mark.parametrize("claimed", [4 * 1000 * 1000, 2**32 - 4])
def test_a_270_kilobyte_bomb_stays_within_the_declared_size(claimed: int) -> None:
    """reliability row 7: 80 000 runs of 65 536 values ask for 5 gigabytes."""
    bits = f"{claimed:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}" + ("111" + "1" * 16 + "1" * 8) * 80_000
    bits += "0" * (-len(bits) % 8)
    bomb = list(int(bits, 2).to_bytes(len(bits) // 8, "big"))
    assert len(bomb) > 270_000
    tracemalloc.start()
    with pytest.raises(BrushError):
        decode_rle(bomb, 1000, 1000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000
