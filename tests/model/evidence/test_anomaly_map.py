"""The residual as a judge: above all that references show, and never more certain than it can be."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_runtime.anomaly_map import DOUBT, MARGIN, MOST_TRUST, agreed, residual_probability, threshold
from adclick_runtime.frame import Frame
from model.checkpoint.manifest import LITE
from model.evidence.anomaly_map import PEAK, anomaly_score
from model.features.encoding import Encoded
from model.interactive.predictor import Predictor


def plate(seed: int, spot: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """A grey plate with a bolt, noise, and maybe a dark spot of radius 9."""
    rng = np.random.default_rng(seed)
    image = np.full((160, 240, 3), 140, np.uint8)
    cv2.circle(image, (120, 80), 40, (190, 185, 180), -1)
    if spot:
        cv2.circle(image, spot, 9, (60, 40, 30), -1)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return Predictor(LITE.click)  # a transformer sees a striking defect from everywhere in so small an image


@pytest.fixture(scope="module")
def references(predictor: Predictor) -> list[Encoded]:
    return [predictor.encode(plate(seed)) for seed in range(4)]


@pytest.fixture(scope="module")
def peaks(predictor: Predictor, references: list[Encoded]) -> list[float]:
    others = [[other for other in references if other is not one] for one in references]
    return [predictor.usual(one, rest)[PEAK] for one, rest in zip(references, others, strict=True)]


def map_of(
    predictor: Predictor, references: list[Encoded], peaks: list[float], image: NDArray[np.uint8]
) -> NDArray[np.float32]:
    frame = Frame.of(160, 240, predictor.long_side)
    prepared = predictor.prepare(predictor.encode(image), references, None).kept()
    return residual_probability(anomaly_score(prepared), frame, peaks)


def test_a_clean_part_stays_below_one_half(
    predictor: Predictor, references: list[Encoded], peaks: list[float]
) -> None:
    assert map_of(predictor, references, peaks, plate(22)).max() < 0.5


def test_a_spot_stands_out_where_it_is(
    predictor: Predictor, references: list[Encoded], peaks: list[float]
) -> None:
    map_ = map_of(predictor, references, peaks, plate(23, (60, 110)))
    frame = Frame.of(160, 240, predictor.long_side)
    assert map_.shape == (frame.height, frame.width)
    assert map_.dtype == np.float32
    sx, sy = frame.scale_xy
    rows, columns = np.nonzero(map_ > 0.5)
    assert np.hypot(columns.mean() - 60 * sx, rows.mean() - 110 * sy) < 6
    assert map_.max() == pytest.approx(MOST_TRUST)


def test_the_threshold_leaves_room_above_every_reference() -> None:
    assert threshold([-1.0] * 3) == pytest.approx(-1.0 + 2 * MARGIN)
    assert threshold([-1.0] * 3000) == pytest.approx(-1.0 + MARGIN, abs=1e-3)
    assert threshold([-2.0, -1.0, -2.0, -1.0]) > -1.0 + 0.5  # references that vary deserve more


def test_only_what_is_unusual_here_is_agreed_to(
    predictor: Predictor, references: list[Encoded], peaks: list[float]
) -> None:
    frame = Frame.of(160, 240, predictor.long_side)
    prepared = predictor.prepare(predictor.encode(plate(23, (60, 110))), references, None)
    sx, sy = frame.scale_xy
    spot, bolt = (int(60 * sx), int(110 * sy)), (int(120 * sx), int(80 * sy))
    found = np.full((frame.height, frame.width), 0.02, np.float32)
    for place in (spot, bolt):  # a network that takes the bolt for a defect as well
        cv2.circle(found, place, 15, 0.9, -1)
    kept = agreed(found, anomaly_score(prepared), peaks)
    assert kept[spot[::-1]] == pytest.approx(0.9)
    assert kept[bolt[::-1]] == pytest.approx(DOUBT)
    assert kept[0, 0] == pytest.approx(0.02)
