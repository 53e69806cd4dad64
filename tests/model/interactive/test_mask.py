from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.clicks import Click
from model.interactive.mask import Mask, enlarged, settled, smoothed

FRAME = Frame(image_height=256, image_width=384, height=128, width=192)  # the image is twice as large


def disc(x: int, y: int, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.indices((FRAME.height, FRAME.width))
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


def probability(*discs: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(np.logical_or.reduce(discs), 0.9, 0.1).astype(np.float32)


def to_mask(found: NDArray[np.float32], frame: Frame, clicks: list[Click]) -> Mask:
    return enlarged(settled(smoothed(np.log(found / (1 - found))), frame, clicks), frame)


def test_the_mask_has_the_images_size_and_place() -> None:
    mask = to_mask(probability(disc(50, 40, 20)), FRAME, [Click(101.0, 81.0, True)])
    true = np.kron(disc(50, 40, 20), np.ones((2, 2), bool))
    assert mask.shape == (256, 384)
    assert (mask & true).sum() / (mask | true).sum() > 0.97


def test_specks_go_unless_they_were_clicked() -> None:
    found = probability(disc(50, 40, 20), disc(150, 100, 5))
    clicked = Click(100, 80, True)
    assert not to_mask(found, FRAME, [clicked])[200, 300]
    assert to_mask(found, FRAME, [clicked, Click(300, 200, True)])[200, 300]


def test_holes_are_closed_unless_somebody_clicked_not_this() -> None:
    found = probability(disc(50, 40, 25) & ~disc(50, 40, 5))
    clicked = Click(80, 80, True)
    assert to_mask(found, FRAME, [clicked])[80, 100]
    assert not to_mask(found, FRAME, [clicked, Click(100, 80, False)])[80, 100]


@pytest.mark.parametrize("x", [0.0, 191.5, 383.99])
def test_a_positive_click_is_always_inside_and_a_negative_one_outside(x: float) -> None:
    """Eq. 8: near a click the person has said what it is."""
    nothing, everything = np.full((2, 128, 192), [[[0.02]], [[0.98]]], np.float32)
    assert to_mask(nothing, FRAME, [Click(x, 100.0, True)])[100, int(x)]
    other = Click(200.0, 20.0, True)
    assert not to_mask(everything, FRAME, [other, Click(x, 100.0, False)])[100, int(x)]


def test_a_frayed_edge_is_smoothed() -> None:
    rng = np.random.default_rng(0)
    found = probability(disc(96, 64, 40))
    edge = disc(96, 64, 43) & ~disc(96, 64, 37)
    found[edge] = rng.uniform(0.1, 0.9, edge.sum())
    mask = to_mask(found, FRAME, [Click(192, 128, True)])
    perimeter = (mask[:, 1:] != mask[:, :-1]).sum() + (mask[1:] != mask[:-1]).sum()
    assert perimeter < 1.5 * 4 * (mask.sum() * 4 / np.pi) ** 0.5


def test_a_part_that_somebody_refused_is_dropped_whole_and_a_clicked_one_stays() -> None:
    frame = Frame(256, 256, 256, 256)
    found = np.full((256, 256), 0.01, np.float32)
    found[40:80, 40:80] = found[40:80, 120:160] = 0.95
    found[57:63, 137:143] = 0.1  # the network took away no more than the clicked place
    wanted, refused = Click(60.5, 60.5, True), Click(140.5, 60.5, False)
    mask = to_mask(found, frame, [wanted, refused])
    assert mask[45:75, 45:75].all()
    assert not mask[:, 110:].any()
    both = to_mask(found, frame, [wanted, Click(125.5, 45.5, True), refused])
    assert both[45:55, 125:155].all()  # part of it was wanted: only the place itself goes
    assert not both[60, 140]
