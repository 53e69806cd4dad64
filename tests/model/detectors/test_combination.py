"""Several detectors as one: standardised by good images, never by the image that is looked at."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_runtime.calibration import logarithm
from adclick_runtime.combination import combined, joined
from adclick_runtime.frame import Frame
from model.checkpoint.backbone_id import BackboneId
from model.detectors.combination import MOST_GOOD, calibrate
from model.detectors.detector import Found, Scene
from model.features.encoding import Encoded
from tests.helpers.plates import SmallPredictor, plate

FRAME = Frame.of(96, 128, 128)


class Painted:
    """A detector that says of a scene what was painted for its product."""

    long_side = 128

    def __init__(self, name: str, maps: dict[str, NDArray[np.float32]], needs: int = 0):
        self.name, self.needs, self.backbone_id = name, needs, BackboneId("painted", "")
        self._maps, self.looked = maps, 0

    def look(self, scene: Scene) -> Found:
        self.looked += 1
        map_ = self._maps[scene.product]
        return Found(map_, float(map_.max()))


@pytest.fixture(scope="module")
def encoded() -> Encoded:
    return SmallPredictor().encode(plate(0))


def painted(units: float, seed: int) -> dict[str, NDArray[np.float32]]:
    """Maps of eight good images, in some units; and of one with a defect at rows 10 to 20."""
    rng = np.random.default_rng(seed)
    maps = {}
    for name in (*(f"good {i}" for i in range(8)), "defect"):
        noise = cv2.GaussianBlur(rng.normal(size=(96, 128)), (0, 0), 2.0)[24:72, 32:96]
        maps[name] = (units * np.exp(0.3 * noise / noise.std())).astype(np.float32)
    maps["defect"][10:20, 30:50] = 4.0 * units
    return maps


def test_detectors_of_any_units_have_an_equal_say_and_are_better_together(encoded: Encoded) -> None:
    one, other = Painted("one", painted(1e-3, 1)), Painted("other", painted(50.0, 2))
    good = [Scene(f"good {i}", FRAME, encoded, []) for i in range(8)]
    usual = calibrate([one, other], good, [("one", "other")])
    assert set(usual) == {"one", "other", "one+other"}
    scene = Scene("defect", FRAME, encoded, [])
    maps = {d.name: logarithm(d.look(scene).map, FRAME) for d in (one, other)}
    inside = np.zeros((48, 64), bool)
    inside[10:20, 30:50] = True

    def apart(names: tuple[str, ...]) -> float:
        map_ = combined(maps, names, usual)
        rest = map_[~inside]
        return float((map_[inside].mean() - rest.mean()) / rest.std())

    assert apart(("one", "other")) > 1.3 * max(apart(("one",)), apart(("other",)))
    together = combined(maps, ("one", "other"), usual)
    found = usual["one+other"].probability(together, FRAME)[::2, ::2] > 0.5
    assert (found & inside).sum() / (found | inside).sum() > 0.8
    for scene in good:
        maps = {d.name: logarithm(d.look(scene).map, FRAME) for d in (one, other)}
        together = combined(maps, ("one", "other"), usual)
        assert usual["one+other"].probability(together, FRAME).max() < 0.5


def test_one_detector_is_what_it_is_alone(encoded: Encoded) -> None:
    one = Painted("one", painted(1.0, 1))
    usual = calibrate([one], [Scene("good 0", FRAME, encoded, [])], [("one",)])
    assert set(usual) == {joined(["one"])} == {"one"}
    map_ = logarithm(painted(1.0, 1)["defect"], FRAME)
    assert np.array_equal(combined({"one": map_}, ["one"], usual), usual["one"].standardise(map_))


def test_a_detector_that_lacks_references_is_left_out_and_few_images_are_looked_at(encoded: Encoded) -> None:
    maps = painted(1.0, 1)
    one, demanding = Painted("one", maps), Painted("demanding", maps, needs=1)
    scenes = [Scene("good 0", FRAME, encoded, [])] * (MOST_GOOD + 5)
    usual = calibrate([one, demanding], scenes, [("one", "demanding")])
    assert set(usual) == {"one"}
    assert (one.looked, demanding.looked) == (MOST_GOOD, 0)
    with pytest.raises(ValueError, match="there is none"):
        calibrate([one], [])
