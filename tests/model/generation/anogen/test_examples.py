from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.generation.anogen.examples import (
    MOST,
    STORED,
    Example,
    cropped,
    parts,
    signed,
    told,
    turned,
    windows,
)
from model.generation.anogen.network import SIDE
from model.generation.anogen.window import Box
from tests.helpers.tiny_painter import cloth, spotted


def test_the_parts_of_a_mask_are_its_defects_the_largest_first() -> None:
    mask = np.zeros((60, 80), bool)
    mask[5:10, 5:10] = True
    mask[30:50, 40:60] = True
    mask[52:54, 40:60] = True  # two pixels away: the same defect
    mask[0, 79] = True  # a speck
    found = parts(mask)
    assert [int(part.sum()) for part in found] == [440, 25]
    assert np.array_equal(found[0] | found[1], mask & ~(np.arange(80) == 79))


def test_only_so_many_defects_of_an_image_are_looked_at() -> None:
    mask = np.zeros((128, 128), bool)
    for place in range(10):
        mask[12 * place : 12 * place + 5, 20:25] = True
    assert len(parts(mask)) == MOST


def test_a_window_shows_the_defect_and_something_round_it() -> None:
    example = spotted(cloth(0), (80, 60), (10, 6))
    (window,) = windows(example)
    assert window.shape == (STORED, STORED, 4) and window.dtype == np.uint8
    defect = window[..., 3] > 127
    box = Box.of(defect)
    assert 0.3 < box.width / STORED < 0.4  # a window is 2.8 times as long as its defect
    assert abs((box.left + box.right) / 2 - STORED / 2) < 2
    assert window[..., 0][defect].mean() > 180 and window[..., 0][~defect].mean() < 130


def test_a_group_is_one_window_when_it_is_asked_for() -> None:
    both = Example(cloth(0), spotted(cloth(0), (40, 30)).mask | spotted(cloth(0), (120, 90)).mask)
    assert len(list(windows(both))) == 2
    (window,) = windows(both, whole=True)
    assert (window[..., 3] > 127).any()


@pytest.mark.parametrize("mask", [np.zeros((40, 40), bool), np.eye(40, dtype=bool) & (np.arange(40) < 5)])
def test_a_mask_without_a_defect_has_no_window(mask: np.ndarray) -> None:
    assert not list(windows(Example(np.zeros((40, 40, 3), np.uint8), mask)))
    assert not list(windows(Example(np.zeros((40, 40, 3), np.uint8), mask), whole=True))


def test_a_mask_that_fills_its_image_has_a_window() -> None:
    (window,) = windows(Example(cloth(0, (50, 90)), np.ones((50, 90), bool)))
    assert (window[..., 3] > 127).all()


def test_a_window_has_eight_positions() -> None:
    (window,) = windows(spotted(cloth(0), (80, 60), (10, 6)))
    rng = np.random.default_rng(0)
    assert len({turned(window, rng).tobytes() for _ in range(100)}) == 8


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 127), st.integers(0, 127), st.integers(0, 99))
@settings(max_examples=60)
def test_a_crop_holds_the_whole_defect_in_its_box(
    width: int, height: int, left: int, top: int, seed: int
) -> None:
    window = np.zeros((STORED, STORED, 4), np.uint8)
    window[top : top + height, left : left + width, 3] = 255
    crop, box = cropped(window, np.random.default_rng(seed))
    assert crop.shape == (SIDE, SIDE, 4)
    assert 0 <= box.left < box.right <= SIDE and 0 <= box.top < box.bottom <= SIDE
    defect = crop[..., 3] > 127
    assert not (defect & ~box.mask((SIDE, SIDE))).any()
    assert defect.any(), "also one of a single pixel"


def test_the_network_is_told_what_is_round_the_box_and_not_what_is_in_it() -> None:
    clean = signed(np.full((SIDE, SIDE, 4), 255, np.float32))
    assert clean.shape == (4, SIDE, SIDE) and (clean == 1).all()
    given_, inside = told(clean, Box(10, 20, 30, 40))
    assert given_.shape == (4, SIDE, SIDE) and inside.shape == (1, SIDE, SIDE)
    clean[:3, 25:35, 15:25] = -1
    assert (told(clean, Box(10, 20, 30, 40))[0][:3] == 1).all(), "what is to be painted is not shown"
    assert np.array_equal(given_[3], inside[0]) and inside.sum() == 400
