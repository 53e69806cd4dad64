from __future__ import annotations

import pytest
import torch

from model.evidence.nearness import nearness, squared_distances
from model.evidence.prepared import REACHES

CLICKS = torch.tensor([[[3.5, 1.5, 1.0], [0.5, 5.5, -1.0], [7.5, 4.5, 1.0], [6.0, 2.0, 0.0]]])


def test_distances_are_from_the_middle_of_a_cell_in_x_and_y() -> None:
    squared = squared_distances(CLICKS, 6, 9)
    assert squared.shape == (1, 4, 6, 9)
    assert float(squared[0, 0, 1, 3]) == 0.0
    assert float(squared[0, 0, 4, 7]) == 3**2 + 4**2
    assert float(squared[0, 1, 5, 8]) == 8**2


def test_nearness_is_that_of_the_nearest_click_of_each_sign() -> None:
    maps = nearness(CLICKS, 6, 9)
    assert maps.shape == (1, 2 * len(REACHES), 6, 9)
    for i, reach in enumerate(REACHES):
        expected = torch.exp(torch.tensor([-1.0, -3.0]) / reach)
        assert maps[0, i, 1, 3] == maps[0, i, 4, 7] == 1.0
        assert float(maps[0, i, 4, 8]) == pytest.approx(
            float(expected[0])
        )  # beside the second positive click
        assert float(maps[0, len(REACHES) + i, 5, 3]) == pytest.approx(float(expected[1]))


def test_without_clicks_and_beside_padding_nothing_is_near() -> None:
    padding = torch.tensor([[[2.0, 2.0, 0.0]]])
    assert not nearness(padding, 6, 9).any()
