from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.clicks import Click
from model.labels.weak import strengthen, three_valued


def test_near_a_click_the_map_says_what_the_click_said() -> None:
    """Eq. 8: 1 within ρ of a positive click, 0 within ρ of a negative one, P elsewhere."""
    probability = np.full((20, 30), 0.4, np.float32)
    clicks = [Click(5.5, 6.5, True), Click(20.5, 10.5, False)]
    found = strengthen(probability, clicks, radius=3.0)
    yy, xx = np.mgrid[:20, :30]
    assert (found[np.hypot(xx - 5, yy - 6) <= 2.5] == 1).all()
    assert (found[np.hypot(xx - 20, yy - 10) <= 2.5] == 0).all()
    far = (np.hypot(xx - 5, yy - 6) > 4) & (np.hypot(xx - 20, yy - 10) > 4)
    assert (found[far] == np.float32(0.4)).all()
    assert (probability == np.float32(0.4)).all(), "the map that was given is left as it is"


def test_the_newest_of_two_overlapping_clicks_wins() -> None:
    probability = np.full((9, 9), 0.5, np.float32)
    assert strengthen(probability, [Click(4.5, 4.5, True), Click(4.5, 4.5, False)], 2.0)[4, 4] == 0
    assert strengthen(probability, [Click(4.5, 4.5, False), Click(4.5, 4.5, True)], 2.0)[4, 4] == 1


def test_a_click_outside_its_map_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lies outside its map of 9 x 5 pixels"):
        strengthen(np.zeros((5, 9), np.float32), [Click(9.5, 2.5, True)], 2.0)


def test_undecided_pixels_are_abandoned_and_certain_ones_are_not() -> None:
    """Eq. 9."""
    target = np.array([0.0, 0.25, 0.35, 0.5, 0.65, 0.75, 1.0], np.float32)
    nowhere, everywhere = np.zeros(7, bool), np.ones(7, bool)
    assert three_valued(target, nowhere, 0.2).tolist() == [0, 0, -1, -1, -1, 1, 1]
    assert three_valued(target, everywhere, 0.2).tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert three_valued(target, nowhere, 0.0).tolist() == [0, 0, 0, 1, 1, 1, 1]


@given(st.floats(0, 0.5), st.floats(0, 0.5), st.integers(0, 2**31))
def test_a_wider_band_abandons_more_and_turns_nothing_round(a: float, b: float, seed: int) -> None:
    target = np.random.default_rng(seed).random(50).astype(np.float32)
    narrow, wide = (three_valued(target, np.zeros(50, bool), e) for e in sorted((a, b)))
    assert ((wide == narrow) | (wide == -1)).all()


def test_a_band_wider_than_all_probabilities_is_refused() -> None:
    with pytest.raises(ValueError, match=r"half width 0\.7"):
        three_valued(np.zeros(3, np.float32), np.zeros(3, bool), 0.7)
