from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.clicks import Click
from model.evidence.prepared import Prepared
from model.interactive.answer import answer, begun
from model.interactive.predictor import Predictor
from model.interactive.zoom import Window
from tests.helpers.plates import SmallPredictor, plate

Mask = NDArray[np.bool_]

STAINS = ((24, 24), (100, 70), (30, 76))


def stain(number: int) -> Mask:
    mask = np.zeros((96, 128), np.uint8)
    cv2.ellipse(mask, STAINS[number], (11, 7), 20, 0, 360, 1, -1)
    return mask > 0


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return SmallPredictor()


@pytest.fixture(scope="module")
def seen(predictor: Predictor) -> tuple[Prepared, Frame]:
    """A plate with three stains."""
    image = plate(5)
    image[stain(0) | stain(1) | stain(2)] = (120, 20, 20)
    references = [predictor.encode(plate(seed)) for seed in (11, 12)]
    return predictor.prepare(predictor.encode(image), references, None), Frame.of(96, 128, 128)


def no_window(window: Window) -> Prepared:
    raise AssertionError(f"{window} is not looked at from near")


def test_a_mask_that_no_click_made_is_an_answer_to_no_click() -> None:
    frame, mask = Frame.of(480, 640, 128), cv2.resize(stain(0).astype(np.uint8), (640, 480)) > 0
    found = begun(frame, mask)
    assert found.whole.history == ()
    assert found.window is None
    assert (found.mask() & mask).sum() / (found.mask() | mask).sum() > 0.9
    assert 0.05 < found.probability.min() < 0.5 < found.probability.max() < 0.95


def test_a_positive_click_beside_it_keeps_it_and_adds(
    predictor: Predictor, seen: tuple[Prepared, Frame]
) -> None:
    prepared, frame = seen
    before = begun(frame, stain(0))
    clicks = [Click(*STAINS[1], True)]
    found = answer(predictor, prepared, frame, clicks, before, no_window)
    assert (found.mask() & stain(0)).sum() > 0.9 * stain(0).sum()
    assert (found.mask() & stain(1)).sum() > 0.7 * stain(1).sum()
    assert [s.click for s in found.whole.history] == clicks
    assert np.array_equal(found.mask(), answer(predictor, prepared, frame, clicks, before, no_window).mask())


def test_an_alt_click_on_one_part_removes_it_and_keeps_the_other(
    predictor: Predictor, seen: tuple[Prepared, Frame]
) -> None:
    prepared, frame = seen
    before = begun(frame, stain(0) | stain(1))
    found = answer(predictor, prepared, frame, [Click(*STAINS[0], False)], before, no_window)
    assert not (found.mask() & stain(0)).any()
    assert (found.mask() & stain(1)).sum() > 0.9 * stain(1).sum()
    assert not (found.mask() & stain(2)).any()
    clicks = [Click(*STAINS[0], False), Click(*STAINS[2], True)]
    further = answer(predictor, prepared, frame, clicks, found, no_window)
    assert not (further.mask() & stain(0)).any()
    assert (further.mask() & stain(1)).sum() > 0.9 * stain(1).sum()
    assert (further.mask() & stain(2)).sum() > 0.7 * stain(2).sum()


def test_without_a_mask_and_without_a_positive_click_there_is_none(
    predictor: Predictor, seen: tuple[Prepared, Frame]
) -> None:
    prepared, frame = seen
    for before in (None, begun(frame, np.zeros((96, 128), bool))):
        assert not answer(predictor, prepared, frame, [Click(10, 10, False)], before, no_window).mask().any()


def test_a_small_mask_is_looked_at_from_near(predictor: Predictor) -> None:
    image, good = (np.repeat(np.repeat(plate(seed), 16, 0), 16, 1) for seed in (5, 6))
    mask = np.zeros(image.shape[:2], np.uint8)
    for x in (400, 480):
        cv2.circle(mask, (x, 400), 24, 1, -1)
        cv2.circle(image, (x, 400), 24, (120, 20, 20), -1)
    frame = Frame.of(*mask.shape, predictor.long_side)
    prepared = predictor.prepare(predictor.encode(image), [predictor.encode(good)], None)
    left, right = mask > 0, mask > 0
    left[:, 440:] = right[:, :440] = False
    found = answer(
        predictor,
        prepared,
        frame,
        [Click(480, 400, True)],
        begun(frame, left),
        lambda w: predictor.look(image, w, [good]),
    )
    assert found.window is not None
    assert found.window.holds(Click(370, 400, True))
    assert (found.mask() & left).sum() > 0.7 * left.sum()
    assert (found.mask() & right).sum() > 0.7 * right.sum()
