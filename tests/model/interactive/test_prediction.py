from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.clicks import Click, next_click
from model.evidence.prepared import Prepared
from model.interactive.prediction import Prediction, predict
from model.interactive.predictor import Predictor
from model.metrics.masks import iou
from tests.helpers.plates import SmallPredictor, plate, stained


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return SmallPredictor()


@pytest.fixture(scope="module")
def stain(predictor: Predictor) -> tuple[Prepared, Frame, NDArray[np.bool_]]:
    image, mask = stained(3)
    references = [predictor.encode(plate(seed)) for seed in (11, 12)]
    return predictor.prepare(predictor.encode(image), references, None), Frame.of(*mask.shape, 128), mask


def test_a_view_remembers_the_clicks_and_what_they_were_made_at(
    predictor: Predictor, stain: tuple[Prepared, Frame, NDArray[np.bool_]]
) -> None:
    prepared, frame, mask = stain
    clicks: list[Click] = []
    view: Prediction | None = None
    for _ in range(3):
        click = next_click(mask, np.zeros_like(mask) if view is None else view.mask(frame), clicks)
        assert click is not None
        clicks.append(click)
        view = predict(predictor, prepared, frame, clicks, view)
    assert view is not None
    assert [s.click for s in view.history] == clicks
    assert not view.history[0].previous.any()
    assert all(s.previous.shape == (frame.height // 2, frame.width // 2) for s in view.history)
    assert iou(view.mask(frame), mask) > 0.7
    assert np.array_equal(view.probability > 0.5, view.logits > 0)
    assert 0.5 < view.expected_iou <= 1
    assert view.nbytes == view.logits.nbytes + 3 * frame.height * frame.width // 4


def test_clicks_whose_masks_are_forgotten_are_answered_all_the_same(
    predictor: Predictor, stain: tuple[Prepared, Frame, NDArray[np.bool_]]
) -> None:
    prepared, frame, mask = stain
    first = next_click(mask, np.zeros_like(mask), [])
    assert first is not None
    view = predict(predictor, prepared, frame, [first, Click(3.0, 3.0, False)], None)
    assert view.history == ()
    assert iou(view.mask(frame), mask) > 0.5
    assert not view.mask(frame)[3, 3]
