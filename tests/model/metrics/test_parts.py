"""Parts found and true parts, each paired once."""

from __future__ import annotations

import numpy as np

from model.metrics.parts import pairs, parts_of


def block(top: int, left: int, side: int = 4) -> np.ndarray:
    mask = np.zeros((20, 20), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_parts_touch_by_corners_and_specks_are_left_out() -> None:
    mask = block(0, 0) | block(4, 4) | block(12, 12) | block(0, 15, 1)
    assert [int(part.sum()) for part in parts_of(mask, smallest=2)] == [32, 16]
    assert len(parts_of(mask)) == 3


def test_each_part_is_paired_once_with_the_best_overlap_first() -> None:
    true = [block(0, 0), block(10, 10)]
    found = [block(0, 1), block(0, 0), block(11, 10), block(15, 0)]
    assert pairs(found, true, 0.5) == [(1, 0), (2, 1)]
    assert pairs(found, true, 0.9) == [(1, 0)]
    assert pairs([], true, 0.5) == pairs(found, [], 0.5) == []
