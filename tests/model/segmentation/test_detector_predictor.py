"""A checkpoint of detectors as it answers: calibrated maps of drawn plates, and sentences for all that is wrong."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint.backbone_id import BackboneId
from model.checkpoint.manifest import LITE, PACKAGED_SEG, CheckpointError, manifest_path
from model.detectors.checkpoint import DetectorCheckpoint, Part, let_serve, write_detector
from model.detectors.detector import Scene
from model.detectors.patchcore import PatchCoreBanks
from model.detectors.residual import ResidualDetector
from model.labels.labelled import DEFECT
from model.segmentation.detector import SegmentationDetector, packaged_detector
from model.segmentation.detector_predictor import DetectorPredictor
from model.segmentation.predictor import SegPredictor
from model.segmentation.scenes import Scenes
from tests.helpers.plates import SmallPredictor, plate, stained


@pytest.fixture(scope="module")
def predictor() -> SmallPredictor:
    return SmallPredictor(
        LITE.click
    )  # a transformer sees a striking defect from everywhere in so small an image


@pytest.fixture(scope="module")
def scenes(predictor: SmallPredictor) -> Scenes:
    return Scenes(predictor, {"plate": [plate(i) for i in range(8)]})


@pytest.fixture(scope="module")
def good(scenes: Scenes) -> list[Scene]:
    """Each good plate beside the others."""
    return [scenes.of(plate(i), "plate", host=i) for i in range(8)]


@pytest.fixture
def weights(predictor: SmallPredictor, scenes: Scenes, tmp_path: Path) -> Path:
    """A checkpoint whose residual serves; nothing in it is calibrated."""
    out = tmp_path / "detectors.safetensors"
    banks = PatchCoreBanks.fitted({"plate": scenes.references("plate")}, coreset=40)
    parts = [
        Part("patchcore", "patchcore", asdict(banks.config), banks.state_dict()),
        Part("residual", "residual"),
        Part("packaged", "packaged"),
    ]
    write_detector(out, DetectorCheckpoint("p1-v3", predictor.backbone_id, 128, parts, ["residual"]))
    return out


@pytest.mark.parametrize("serves", [None, ("packaged", "residual"), ("residual", "packaged")])
def test_a_stain_is_found_where_it_is_and_a_good_plate_is_left_alone(
    weights: Path, scenes: Scenes, good: list[Scene], serves: tuple[str, ...] | None
) -> None:
    predictor = DetectorPredictor(weights)
    if serves:
        let_serve(weights, serves)
        predictor = DetectorPredictor(weights)
    assert not predictor.calibrated("plate")
    predictor.calibrate("plate", good)
    assert predictor.calibrated("plate")
    image, mask = stained(31)
    scene = scenes.of(image, "plate")
    (name, found), *rest = predictor.maps(scene).items()
    assert (name, rest) == (DEFECT, [])
    assert found.shape == (scene.frame.height, scene.frame.width)
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    inside = found > 0.5
    assert (inside & mask).sum() / (inside | mask).sum() > 0.25
    assert predictor.maps(scenes.of(plate(77), "plate"))[DEFECT].max() < 0.5


def test_others_may_be_asked_than_those_that_serve(weights: Path, scenes: Scenes, good: list[Scene]) -> None:
    predictor = DetectorPredictor(weights)
    everything = tuple(predictor.detectors)
    predictor.calibrate("plate", good, everything)
    scene = scenes.of(stained(31)[0], "plate")
    alone, together = (predictor.maps(scene, serves)[DEFECT] for serves in (("residual",), everything))
    assert np.array_equal(alone, predictor.maps(scene)[DEFECT])
    assert not np.array_equal(alone, together)
    with pytest.raises(ValueError, match="holds patchcore, residual, packaged, and not 'invad-tiny'"):
        predictor.maps(scene, ("invad-tiny",))
    with pytest.raises(ValueError, match="and not 'none'"):
        predictor.maps(scene, ())


def test_what_was_found_out_about_a_product_is_kept_and_taken_again(
    weights: Path, scenes: Scenes, good: list[Scene]
) -> None:
    predictor = DetectorPredictor(weights)
    said = json.loads(json.dumps(predictor.calibrate("plate", good, ("packaged", "residual"))))
    assert set(said) == {"patchcore", "residual", "packaged", "residual+packaged"}
    predictor.calibrate("plate", good, ("patchcore", "residual"))
    assert predictor.calibrated("plate", ("residual", "packaged")), "what is known already is kept"
    scene = scenes.of(stained(31)[0], "plate")
    again = DetectorPredictor(weights)
    with pytest.raises(ValueError, match="p1-v3 does not know what residual gives for good images of plate"):
        again.maps(scene)
    again.take("plate", said)
    assert np.allclose(again.maps(scene)[DEFECT], predictor.maps(scene)[DEFECT], atol=0.02)
    assert again.calibration("plate", "residual") is not None
    assert again.calibration("other", "residual") is None
    with pytest.raises(CheckpointError, match="product 'plate': A calibration is a location"):
        again.take("plate", {"residual": {"location": 1.0}})
    with pytest.raises(CheckpointError, match="product 'plate': A calibration has a name"):
        again.take("plate", [])  # type: ignore[arg-type]


def test_a_manifest_holds_what_is_usual(weights: Path, scenes: Scenes, good: list[Scene]) -> None:
    found = DetectorPredictor(weights).calibrate("plate", good)
    manifest = json.loads(manifest_path(weights).read_text())
    manifest_path(weights).write_text(json.dumps({**manifest, "calibration": {"plate": found}}))
    assert DetectorPredictor(weights).maps(scenes.of(plate(77), "plate"))[DEFECT].max() < 0.5
    found["residual"]["scale"] = -1
    manifest_path(weights).write_text(json.dumps({**manifest, "calibration": {"plate": found}}))
    with pytest.raises(CheckpointError, match=r"manifest of detectors.safetensors, product 'plate'"):
        DetectorPredictor(weights)


def test_the_packaged_network_is_the_one_behind_the_backbone(
    predictor: SmallPredictor, scenes: Scenes, tmp_path: Path
) -> None:
    detector = packaged_detector(predictor.backbone_id, 128)
    image, mask = stained(31)
    map_, score = detector.look(scenes.of(image, "plate"))
    assert score == map_.max() and map_.min() >= 0
    assert map_[mask].mean() > 4 * map_[~mask].mean()
    with pytest.raises(
        CheckpointError, match="No segmentation network is packaged behind the backbone resnet18"
    ):
        packaged_detector(BackboneId("resnet18", "0" * 64), 128)


def test_the_map_of_a_network_with_types_is_their_maximum(scenes: Scenes) -> None:
    network = SegPredictor(LITE.seg)
    scene = scenes.of(stained(31)[0], "plate")
    left, right = (np.zeros((96, 128), np.float32) for _ in range(2))
    left[:, :40], right[:, 60:] = 0.5, 1.0
    network.maps = lambda prepared, frame: {"dent": left, "scratch": right}  # type: ignore[method-assign]
    found = SegmentationDetector("trained", network, 128).look(scene)
    assert found.map[0, [20, 50, 80]] == pytest.approx([np.log(2), 0, np.log(1e6)], rel=0.02)
    assert found.score == found.map.max()


def test_an_image_that_was_not_matched_is_refused_in_words(predictor: SmallPredictor, scenes: Scenes) -> None:
    scene = replace(scenes.of(plate(77), "plate"), prepared=None)
    for detector in (
        ResidualDetector(predictor.backbone_id, 128),
        packaged_detector(predictor.backbone_id, 128),
    ):
        with pytest.raises(ValueError, match="matched with references"):
            detector.look(scene)


def test_another_kind_of_checkpoint_is_refused_in_words() -> None:
    with pytest.raises(CheckpointError, match="anomaly maps need 'detector'"):
        DetectorPredictor(PACKAGED_SEG)
