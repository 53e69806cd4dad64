from __future__ import annotations

import numpy as np
import pytest

from model.generation.anogen.fill import filled
from model.generation.anogen.window import Box


def inside(box: Box, side: int = 64) -> np.ndarray:
    return box.mask((side, side))[None].astype(np.float32)


def test_outside_of_the_box_nothing_changes() -> None:
    colours = np.random.default_rng(0).uniform(-1, 1, (3, 64, 64)).astype(np.float32)
    hole = inside(Box(10, 20, 40, 50))
    found = filled(colours, hole)
    assert found.shape == colours.shape and found.dtype == np.float32
    assert np.array_equal(found[:, hole[0] == 0], colours[:, hole[0] == 0])


def test_what_is_in_the_box_does_not_show() -> None:
    colours = np.random.default_rng(0).uniform(-1, 1, (3, 64, 64)).astype(np.float32)
    hole = inside(Box(10, 20, 40, 50))
    other = np.where(hole > 0, 1 - colours, colours).astype(np.float32)
    assert np.array_equal(filled(colours, hole), filled(other, hole))


@pytest.mark.parametrize("box", [Box(20, 20, 40, 40), Box(0, 0, 30, 30), Box(0, 30, 64, 64)])
def test_one_colour_goes_on(box: Box) -> None:
    colours = np.full((3, 64, 64), 0.25, np.float32)
    assert np.allclose(filled(colours, inside(box)), 0.25, atol=1e-5)


def test_a_slope_goes_on_about() -> None:
    colours = np.broadcast_to(np.linspace(-1, 1, 64, dtype=np.float32), (3, 64, 64)).copy()
    found = filled(colours, inside(Box(24, 24, 40, 40)))
    assert np.abs(found - colours).max() < 0.35
    assert (np.diff(found[0, 32]) > -1e-6).all()


def test_of_nothing_comes_nothing() -> None:
    assert not filled(np.ones((3, 64, 64), np.float32), inside(Box(0, 0, 64, 64))).any()
