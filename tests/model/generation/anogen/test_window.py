from __future__ import annotations

import time

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.generation.anogen.window import Box, Window


@st.composite
def boxes(draw: st.DrawFn, longest: int = 2000) -> tuple[tuple[int, int], Box]:
    """An image's (H, W), from 40 px on, and a box of it."""
    shape = draw(st.integers(40, longest)), draw(st.integers(40, longest))
    left, top = draw(st.integers(0, shape[1] - 1)), draw(st.integers(0, shape[0] - 1))
    box = Box(left, top, draw(st.integers(left + 1, shape[1])), draw(st.integers(top + 1, shape[0])))
    return shape, box


def test_the_box_of_a_mask_holds_it_and_nothing_more() -> None:
    mask = np.zeros((20, 30), bool)
    mask[4:9, 7:21] = True
    box = Box.of(mask)
    assert (box, box.width, box.height) == (Box(7, 4, 21, 9), 14, 5)
    assert np.array_equal(box.mask((20, 30)), mask)


@given(boxes())
def test_a_window_holds_its_box_and_leaves_the_image_only_where_it_must(
    drawn: tuple[tuple[int, int], Box],
) -> None:
    (height, width), box = drawn
    window = Window.round(box, (height, width))
    assert window.x <= box.left + 1e-6 and window.x + window.side >= box.right - 1e-6
    assert window.y <= box.top + 1e-6 and window.y + window.side >= box.bottom - 1e-6
    for start, length in ((window.x, width), (window.y, height)):
        if window.side <= length:
            assert start >= 0 and start + window.side <= length + 1e-6


@given(boxes())
def test_a_box_in_the_crop_covers_the_box_of_the_image(drawn: tuple[tuple[int, int], Box]) -> None:
    shape, box = drawn
    window = Window.round(box, shape)
    inner = window.inside(box, 64)
    assert 0 <= inner.left < inner.right <= 64 and 0 <= inner.top < inner.bottom <= 64
    scale = 64 / window.side
    assert inner.left <= (box.left - window.x) * scale + 1e-6
    assert inner.bottom >= min(64, (box.bottom - window.y) * scale) - 1e-6


def test_a_window_of_whole_pixels_is_cut_and_laid_back_to_the_digit() -> None:
    image = np.random.default_rng(0).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    window = Window(10, 20, 64)
    crop = window.cut(image, 64)
    assert np.array_equal(crop, image[20:84, 10:74])
    back = window.spread(crop, (100, 120))
    assert np.array_equal(back[20:84, 10:74], image[20:84, 10:74])
    back[20:84, 10:74] = 0
    assert not back.any()


@given(boxes(400))
@settings(max_examples=40)
def test_a_smooth_image_comes_back_from_its_window_nearly_as_it_was(
    drawn: tuple[tuple[int, int], Box],
) -> None:
    """A slope is linear, so neither the mean of pixels nor what lies between them may shift it."""
    (height, width), box = drawn
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    slope = (across + 2 * down).astype(np.float32)
    window = Window.round(box, (height, width))
    back = window.spread(window.cut(slope, 64), (height, width))
    pixel = 3 * max(1.0, window.side / 64)
    # A pixel of the crop beyond the border is mirrored there, where the slope is not; look at what is within.
    inner = slice(int(window.y + 3 * pixel), int(window.y + window.side - 3 * pixel))
    outer = slice(int(window.x + 3 * pixel), int(window.x + window.side - 3 * pixel))
    inside = np.zeros((height, width), bool)
    inside[inner, outer] = True
    for edge in (3 * pixel,):
        inside &= (across > edge) & (across < width - edge) & (down > edge) & (down < height - edge)
    assert np.abs(back - slope)[inside].max(initial=0) < 0.15 * pixel


@given(boxes(300), st.sampled_from([np.uint8, np.float32]))
@settings(max_examples=40)
def test_what_is_cut_lies_within_the_colours_of_the_image(
    drawn: tuple[tuple[int, int], Box], kind: type[np.uint8] | type[np.float32]
) -> None:
    shape, box = drawn
    image = np.random.default_rng(0).integers(50, 200, (*shape, 3)).astype(kind)
    crop = Window.round(box, shape).cut(image, 64)
    assert crop.shape == (64, 64, 3) and crop.dtype == np.float32
    assert crop.min() >= 49.99 and crop.max() <= 199.01


def test_only_the_window_of_a_large_image_is_looked_at() -> None:
    image = np.zeros((3000, 4000, 3), np.uint8)
    image[1000:1100, 2000:2200] = 90
    box = Box(2000, 1000, 2200, 1100)
    started = time.process_time()
    crop = Window.round(box, (3000, 4000)).cut(image, 64)
    assert time.process_time() - started < 0.5  # the whole image takes several seconds
    assert crop[32, 32].tolist() == [90, 90, 90]


def test_a_window_that_is_cut_out_of_a_large_image_is_that_of_the_whole() -> None:
    """Averaging comes after cutting; that must not be seen at the edges of what was cut."""
    image = np.random.default_rng(0).integers(0, 256, (400, 500), dtype=np.uint8)
    window = Window(101.3, 77.7, 200.4)
    bare = window.cut(image[40:320, 60:340].copy(), 64)
    moved = Window(101.3 - 60, 77.7 - 40, 200.4).cut(image[40:320, 60:340], 64)
    assert np.abs(moved - window.cut(image, 64)).max() < 0.2
    assert np.abs(bare - moved).max() > 1, "the comparison would not see a shift"
