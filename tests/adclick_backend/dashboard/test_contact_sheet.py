"""The good image, the box, and the painted defect side by side."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from adclick_backend.dashboard.contact_sheet import SIDE, sheet_row
from model.generation.anogen.window import Box


@pytest.mark.parametrize("box", [Box(20, 10, 40, 34), Box(0, 0, 8, 8), Box(2, 2, 60, 58)])
def test_the_box_and_the_defect_are_where_they_are(box: Box) -> None:
    good = np.full((60, 90, 3), 120, np.uint8)
    painted, mask = good.copy(), np.zeros((60, 90), bool)
    mask[box.top + 2 : box.bottom - 2, box.left + 2 : box.right - 2] = True
    painted[mask] = 20
    row = cv2.imdecode(np.frombuffer(sheet_row(good, painted, mask, box), np.uint8), cv2.IMREAD_COLOR)
    assert row is not None and row.shape[0] == SIDE
    first, second, third = row[:, :SIDE], row[:, SIDE + 4 : 2 * SIDE + 4], row[:, -SIDE:]
    assert np.abs(first[:, : SIDE - 16].astype(int) - 120).max() < 12  # nothing is on the good image
    yellow = (second[..., 0].astype(int) < 60) & (second[..., 2].astype(int) > 180)
    dark = third.max(axis=2) < 60
    rows, columns = np.flatnonzero(yellow.any(1)), np.flatnonzero(yellow.any(0))
    inside = dark[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert dark.any() and inside.sum() == dark.sum()
