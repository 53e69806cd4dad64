"""Standardised maps: what good images are like, and a threshold above all of them."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_runtime.anomaly_map import threshold
from adclick_runtime.calibration import LEAST, SPREAD, Calibration, logarithm
from adclick_runtime.frame import Frame

FRAME = Frame.of(96, 128, 128)


def smooth(rng: np.random.Generator) -> NDArray[np.float32]:
    """(48, 64) noise of deviation 1 without lone places, as maps of detectors are."""
    blurred = cv2.GaussianBlur(rng.normal(size=(96, 128)), (0, 0), 2.0)[24:72, 32:96]
    return (blurred / blurred.std()).astype(np.float32)


def good_maps(count: int, scale: float = 0.4) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return [(-3 + scale * smooth(rng)).astype(np.float32) for _ in range(count)]


def test_good_images_get_one_location_and_one_scale_whatever_the_units() -> None:
    for scale in (0.1, 2.0):
        usual = Calibration.of(good_maps(6, scale))
        places = np.concatenate([usual.standardise(map_).ravel() for map_ in good_maps(6, scale)])
        assert np.median(places) == pytest.approx(0, abs=1e-3)
        assert places.std() == pytest.approx(SPREAD, rel=0.05)
        assert max(usual.peaks) == pytest.approx(places.max(), abs=1e-3)


def test_nothing_in_a_good_image_is_a_defect_and_the_margin_falls_with_their_number() -> None:
    maps = good_maps(20)
    margins = []
    for count in (2, 5, 20):
        usual = Calibration.of(maps[:count])
        for map_ in maps[:count]:
            assert usual.probability(usual.standardise(map_), FRAME).max() < 0.5
        margins.append(threshold(usual.peaks) - max(usual.peaks))
    assert margins[0] > margins[1] > margins[2] > 0


def test_what_rises_above_all_good_images_is_a_defect_there_and_nowhere_else() -> None:
    usual = Calibration.of(good_maps(8))
    image = good_maps(9)[8]
    image[10:20, 30:44] = 1.0
    found = usual.probability(usual.standardise(image), FRAME)
    assert found.shape == (FRAME.height, FRAME.width) == (96, 128)
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    truth = np.zeros((96, 128), bool)
    truth[20:40, 60:88] = True
    assert ((found > 0.5) & truth).sum() / ((found > 0.5) | truth).sum() > 0.9


def test_the_logarithm_is_taken_on_the_grid_of_stride_two_and_has_an_end() -> None:
    map_ = np.zeros((12, 16), np.float32)
    map_[:, 8:] = np.e
    log = logarithm(map_, FRAME)
    assert log.shape == (48, 64) and log.dtype == np.float32
    assert log[20, 60] == pytest.approx(1.0)
    assert log[20, 3] == pytest.approx(np.log(LEAST))


def test_a_calibration_is_kept_as_json() -> None:
    usual = Calibration.of(good_maps(3))
    again = Calibration.from_json(json.loads(json.dumps(usual.as_json())))
    map_ = good_maps(4)[3]
    assert np.allclose(again.standardise(map_), usual.standardise(map_), atol=1e-3)
    assert again.peaks == pytest.approx(usual.peaks, abs=1e-3)


@pytest.mark.parametrize(
    "said",
    [
        None,
        {},
        {"location": 1.0, "scale": 0.0, "peaks": [1.0]},
        {"location": 1.0, "scale": 1.0, "peaks": []},
        {"location": 1.0, "scale": 1.0, "peaks": [float("nan")]},
        {"location": "1", "scale": 1.0, "peaks": [1.0]},
        {"location": 1.0, "scale": 1.0, "peaks": [1.0], "more": 1},
    ],
)
def test_what_is_no_calibration_is_refused_in_words(said: Any) -> None:
    with pytest.raises(
        ValueError, match="A calibration is a location, a scale above 0 and at least one peak"
    ):
        Calibration.from_json(said)


def test_good_images_that_say_nothing_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="there is none"):
        Calibration.of([])
    with pytest.raises(ValueError, match="no numbers"):
        Calibration.of([np.full((4, 4), np.nan, np.float32)])
    flat = Calibration.of([np.full((4, 4), 2.0, np.float32)])
    assert np.isfinite(flat.standardise(np.full((4, 4), 2.5, np.float32))).all()
