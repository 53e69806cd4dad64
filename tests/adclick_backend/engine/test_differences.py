"""What differs between an image and each reference, by the packaged network on small drawn images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from adclick_backend.engine.bank import ImageKey, ReferenceBank
from adclick_backend.engine.engine import Engine
from adclick_backend.images.decode import Pixels
from adclick_backend.settings import Settings
from tests.helpers.plates import plate, stained

STAINED, WHERE = stained(1)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(Settings(data_dir=tmp_path_factory.mktemp("data"), model_threads=1))


@pytest.fixture
def bank(engine: Engine) -> Iterator[ReferenceBank]:
    """Three good plates."""
    shas = []
    for number in range(3):
        pixels = plate(20 + number)
        data = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
        sha = hashlib.sha256(data).hexdigest()
        path = engine._settings.data_dir / "projects/1/references" / f"{sha}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        engine.encode_reference(ImageKey("1", sha), pixels)
        shas.append(sha)
    yield ReferenceBank("1", "", tuple(sorted(shas)))


def key_of(pixels: Pixels) -> ImageKey:
    return ImageKey("1", hashlib.sha256(pixels.tobytes()).hexdigest())


def test_a_stain_differs_from_every_reference_and_the_rest_hardly(
    engine: Engine, bank: ReferenceBank
) -> None:
    waited: list[int] = []
    found = engine.differences(key_of(STAINED), bank, lambda: STAINED, lambda: waited.append(1))
    assert sorted(one.reference for one in found) == sorted(bank.references)
    assert len(waited) == 4  # three comparisons, and one between two references
    for one in found:
        assert one.map.dtype == np.float32
        assert one.map.min() >= 0
        assert one.map.max() <= 1
        seen = cv2.resize(one.map, STAINED.shape[1::-1])
        near = cv2.dilate(WHERE.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
        assert seen[WHERE].mean() > 0.4
        assert seen[~near].mean() < seen[WHERE].mean() / 2


def test_a_good_image_differs_no_more_than_references_do(engine: Engine, bank: ReferenceBank) -> None:
    good = plate(33)
    for one in engine.differences(key_of(good), bank, lambda: good):
        assert one.map.mean() < 0.1


def test_an_image_is_no_reference_of_its_own(engine: Engine, bank: ReferenceBank) -> None:
    own = bank.references[0]
    found = engine.differences(ImageKey("1", own), bank, lambda: plate(20))
    assert len(found) == 2
    assert own not in [one.reference for one in found]


def test_without_a_reference_nothing_differs_and_with_one_it_is_measured_against_itself(
    engine: Engine, bank: ReferenceBank
) -> None:
    assert engine.differences(key_of(STAINED), ReferenceBank("1", "", ()), lambda: STAINED) == []
    alone = ReferenceBank("1", "", bank.references[:1])
    (only,) = engine.differences(key_of(STAINED), alone, lambda: STAINED)
    seen = cv2.resize(only.map, STAINED.shape[1::-1])
    assert seen[WHERE].mean() > 3 * seen[~WHERE].mean()
