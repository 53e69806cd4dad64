"""What defects do not show in their colours is not painted."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model.generation.anogen.tints import tints


def window(colour: tuple[int, int, int], ground: tuple[int, int, int] = (120, 130, 140)) -> NDArray[np.uint8]:
    """A spot of a colour on a plain ground, (128, 128, 4)."""
    made = np.zeros((128, 128, 4), np.uint8)
    made[..., :3] = ground
    made[50:80, 40:70] = (*colour, 255)
    return made


def test_a_darker_spot_has_no_colour_of_its_own() -> None:
    kept = tints([window((60, 70, 80)), window((80, 90, 100))])
    grey = np.full(3, -50.0, np.float32)
    assert grey @ kept == pytest.approx(grey, rel=0.06)
    assert np.abs(np.array([40.0, -20.0, -20.0]) @ kept).max() < 1


def test_a_stain_keeps_its_colour_beside_grey() -> None:
    kept = tints([window((180, 130, 140)), window((60, 70, 80))])
    for colour in ((60.0, 0.0, 0.0), (-60.0, -60.0, -60.0)):
        assert np.array(colour) @ kept == pytest.approx(np.array(colour), rel=0.2, abs=6)
    assert np.abs(np.array([0.0, 30.0, -30.0]) @ kept).max() < 2


def test_the_ground_has_no_part_in_it() -> None:
    one, other = (
        tints([window((120 + d, 130, 140), (120, 130, 140)), window((d, 200, 10), (0, 200, 10))])
        for d in (40, 80)
    )
    assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("windows", [[], [window((120, 130, 140))], [np.full((128, 128, 4), 255, np.uint8)]])
def test_where_nothing_differs_every_colour_stays(windows: list[NDArray[np.uint8]]) -> None:
    assert tints(windows) == pytest.approx(np.eye(3))
