from __future__ import annotations

import numpy as np

from model.generation.anogen.examples import Example
from model.generation.anogen.sheet import GAP, HEAD, LABELLED, TILE, draw_sheet
from model.generation.anogen.window import Box
from tests.helpers.tiny_painter import cloth, nut, spot_on, spotted


def test_a_sheet_shows_labelled_defects_and_a_row_for_each_painted_one() -> None:
    good, painted = nut(5), spotted(nut(5), (60, 60))
    rows = [(good, painted.pixels, painted.mask, Box(50, 50, 70, 70))] * 2
    sheet = draw_sheet("nut/spot", [spot_on(0), Example(cloth(0), np.zeros((120, 160), bool))], rows)
    assert (
        sheet.shape == (HEAD + 3 * (TILE + GAP), LABELLED * (TILE + GAP) - GAP, 3) and sheet.dtype == np.uint8
    )
    tiles = [
        sheet[HEAD + TILE + GAP :][:TILE, place * (TILE + GAP) :][:, :TILE].astype(int) for place in range(4)
    ]
    whole, before, after, outlined = tiles
    assert (whole == 255).all(2).any() and (np.abs(whole - [255, 200, 0]).max(2) < 5).any(), (
        "the box in the image"
    )
    middle = np.s_[TILE // 2 - 10 : TILE // 2 + 10, TILE // 2 - 10 : TILE // 2 + 10]
    assert after[middle][..., 0].mean() - before[middle][..., 0].mean() > 20
    assert np.array_equal(before[:20], after[:20]), "outside of the box they are one"
    assert (outlined != after).any(2).sum() > 50


def test_a_sheet_is_drawn_of_images_of_any_shape() -> None:
    for shape in ((40, 300), (300, 40), (1200, 900)):
        good = cloth(0, shape)
        box = Box(0, 0, shape[1], shape[0] // 2)
        sheet = draw_sheet("cloth", [], [(good, good, box.mask(shape), box)])
        assert sheet.shape[0] == HEAD + 2 * (TILE + GAP)
