"""How well the parts of a prediction fit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model.metrics.masks import part_ious


def block(left: int, right: int) -> NDArray[np.bool_]:
    mask = np.zeros((10, 40), bool)
    mask[2:6, left:right] = True
    return mask


def test_a_part_answers_for_the_places_that_it_touches() -> None:
    defects = block(0, 10) | block(20, 30)
    assert part_ious([block(0, 8), block(20, 30), block(34, 38)], defects) == pytest.approx([0.8, 1.0, 0.0])


def test_parts_share_one_defect() -> None:
    """Together they are all of it, so each of them is right."""
    assert part_ious([block(0, 9), block(11, 20)], block(0, 20)) == pytest.approx([36 / 44, 36 / 44])


def test_there_are_no_fits_without_parts_and_none_in_good_images() -> None:
    assert part_ious([], block(0, 5)) == []
    assert part_ious([block(0, 5)], np.zeros((10, 40), bool)) == [0.0]
