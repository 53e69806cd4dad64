"""From good images to a checkpoint of detectors, whole and small: a defect is found that nobody labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model.detectors.checkpoint import read_detector
from model.detectors.eyes import Image
from model.detectors.methods import METHODS, PRESETS, detector_of
from model.segmentation.detector_predictor import DetectorPredictor
from model.segmentation.scenes import Scenes
from model.training.detectors import onenip, project
from model.training.detectors.project import WORTH_COMBINING, train_detector
from model.training.detectors.settings import DetectorTraining
from model.training.progress import Cancelled, Progress
from tests.helpers.plates import SmallPredictor, plate, stained

SMALL = DetectorTraining(steps=60, checks=3, defects=1)
ONLY_INVAD = ("invad-tiny",)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames of 128 px, and a network that learns them in a second."""
    monkeypatch.setattr(project, "Predictor", SmallPredictor)
    config = replace(PRESETS["invad-tiny"].config, pooled=1, constant=(8, 8), style=16, widths=(24, 24, 48))
    monkeypatch.setitem(PRESETS, "invad-tiny", PRESETS["invad-tiny"]._replace(config=config))


def plates(count: int) -> dict[str, Sequence[Image]]:
    return {"plate": [plate(i) for i in range(count)]}


def test_good_images_alone_teach_what_a_stain_is(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    out, told = tmp_path / "d.safetensors", list[Progress]()
    about = train_detector(
        plates(8), out, version="d-1", methods=ONLY_INVAD, config=SMALL, report=told.append, asked="float32"
    )
    checks = about["detectors"]["invad-tiny"]["checks"]
    assert [step for step, _ in checks] == [20, 40, 60]
    assert (about["images"], about["kept_back"], about["notes"]) == ({"plate": 6}, {"plate": 2}, [])
    assert [p.stage for p in told if p.stage != "training"][-1] == "evaluating"
    assert [p.share for p in told if p.stage == "training"] == pytest.approx([i / 60 for i in range(1, 61)])
    last = [p for p in told if p.stage == "training"][-1]
    assert last.metrics == {"invad-tiny": pytest.approx(checks[-1][1], abs=1e-3)}

    read = read_detector(out)
    assert (read.version, read.training) == ("d-1", about)
    assert [p.name for p in read.parts] == ["invad-tiny", "residual", "packaged"]
    assert about["held_out"].keys() == {"invad-tiny", "residual", "packaged"}
    assert about["held_out"]["invad-tiny"]["pixel_ap"] == pytest.approx(max(ap for _, ap in checks), abs=0.02)
    best = max(about["held_out"], key=lambda name: about["held_out"][name]["pixel_ap"])
    assert read.serves == [best]
    found = {name: measures["pixel_ap"] for name, measures in about["held_out"].items()}
    together = [name for name in found if found[name] >= WORTH_COMBINING * found[best]]
    joint = {name for name in read.calibration["plate"] if "+" in name}
    assert joint == ({"+".join(together)} if len(together) > 1 else set())
    assert [p.name for p in tmp_path.iterdir() if "so-far" in p.name] == []
    part = read.part("invad-tiny")
    assert part is not None
    detector = detector_of(part, read.backbone_id, read.long_side, out.name)
    scenes = Scenes(SmallPredictor(asked="float32"), {"plate": [plate(i) for i in range(6)]})
    predictor = DetectorPredictor(out, asked="float32")
    ratios = []
    for seed in (20, 21, 22):
        image, mask = stained(seed)
        found = detector.look(scenes.of(image, "plate"))
        assert found.map.shape == (96, 128)
        assert found.score == found.map.max()
        ratios.append(found.map[mask].mean() / found.map[~mask].mean())
        assert found.score > detector.look(scenes.of(plate(seed), "plate")).score
        assert predictor.maps(scenes.of(plate(seed), "plate"))["defect"].max() < 0.5
        marked = predictor.maps(scenes.of(image, "plate"))["defect"] > 0.5
        assert (marked & (cv2.resize(mask.astype(np.uint8), (128, 96)) > 0)).sum() > 0.3 * mask.sum()
    assert min(ratios) > 1.3


def test_two_good_images_are_too_few_for_invad_and_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"InvAD learns .* at least 3 of them, better 8, .*: 2\. Add"):
        train_detector(plates(2), tmp_path / "d.safetensors", version="d", methods=ONLY_INVAD, config=SMALL)
    with pytest.raises(ValueError, match=r"There is nothing to learn from: .* Add at least one"):
        train_detector({"a": []}, tmp_path / "d.safetensors", version="d", methods=ONLY_INVAD, config=SMALL)
    assert not list(tmp_path.iterdir())


def test_detectors_that_are_not_there_are_named(tmp_path: Path) -> None:
    for name in ("oracle", "invad"):
        with pytest.raises(
            ValueError,
            match=f"no detector '{name}' to be trained here; there are: invad-tiny, onenip-tiny, patchcore",
        ):
            train_detector(plates(3), tmp_path / "d.safetensors", version="d", methods=(name,))


def test_one_image_of_each_product_can_be_learned_from_and_not_checked(tmp_path: Path) -> None:
    there: dict[str, Sequence[Image]] = {name: [plate(i)] for i, name in enumerate("abc")}
    config = replace(SMALL, steps=2)
    about = train_detector(there, tmp_path / "d.safetensors", version="d", methods=ONLY_INVAD, config=config)
    assert about["detectors"]["invad-tiny"]["checks"] == []
    assert "There is one good image of each product" in about["notes"][0]
    assert not any(about["held_out"].values())
    assert not read_detector(tmp_path / "d.safetensors").calibration


def test_a_bank_of_patches_is_fitted_beside_and_needs_one_image_only(tmp_path: Path) -> None:
    out = tmp_path / "d.safetensors"
    about = train_detector(plates(2), out, version="d", methods=("patchcore",), config=SMALL, asked="float32")
    assert about["detectors"] == {}
    assert about["held_out"].keys() == {"patchcore", "residual", "packaged"}
    read = read_detector(out)
    assert [p.name for p in read.parts] == ["patchcore", "residual", "packaged"]
    assert read.calibration["plate"].keys() >= {"patchcore", "residual", "packaged"}
    image, mask = stained(9)
    found = (
        DetectorPredictor(out)
        .detectors["patchcore"]
        .look(Scenes(SmallPredictor(), {}).of(image, "plate"))
        .map
    )
    large = cv2.resize(mask.astype(np.uint8), found.shape[::-1]) > 0
    assert found[large].mean() > 1.3 * found[~large].mean()
    train_detector(plates(1), out, version="d", methods=("patchcore",), config=SMALL, asked="float32")
    assert [p.name for p in read_detector(out).parts] == ["patchcore", "residual", "packaged"]


@pytest.mark.parametrize("count", [1, 3])
def test_onenip_is_trained_from_one_good_image_or_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    sizes = {"width": 16, "heads": 2, "feed_forward": 32, "grid": 4, "neighbourhood": 3, "refiner": 8}
    config = replace(PRESETS["onenip-tiny"].config, **sizes)
    monkeypatch.setitem(PRESETS, "onenip-tiny", PRESETS["onenip-tiny"]._replace(config=config))
    monkeypatch.setattr(onenip, "LEAST", 6)
    out = tmp_path / "d.safetensors"
    settings = replace(SMALL, steps=4, checks=2)
    about = train_detector(
        plates(count), out, version="d", methods=("onenip-tiny",), config=settings, asked="float32"
    )
    assert about["detectors"]["onenip-tiny"]["steps"] == 4
    read = read_detector(out)
    part = read.part("onenip-tiny")
    assert part is not None
    detector = detector_of(part, read.backbone_id, read.long_side, out.name)
    scenes = Scenes(SmallPredictor(asked="float32"), plates(count))
    image, mask = stained(9)
    found = detector.look(scenes.of(image, "plate")).map
    large = cv2.resize(mask.astype(np.uint8), found.shape[::-1]) > 0
    assert found[large].mean() > 1.3 * found[~large].mean()


def test_a_cancelled_training_goes_on_where_it_was(tmp_path: Path) -> None:
    """Reliability row 18: also after a kill, the same network comes out."""
    resume, config = tmp_path / "run" / "last.safetensors", replace(SMALL, steps=12)

    def train(out: str, stop_after: int, resume: Path | None) -> np.ndarray:
        steps = 0

        def count(progress: Progress) -> None:
            nonlocal steps
            steps += progress.stage == "training"

        train_detector(
            plates(4),
            tmp_path / out,
            version="d",
            methods=ONLY_INVAD,
            config=config,
            resume=resume,
            report=count,
            cancelled=lambda: steps >= stop_after,
            asked="float32",
        )
        part = read_detector(tmp_path / out).part("invad-tiny")
        assert part is not None
        return np.asarray(part.tensors["decoder.constant"])

    with pytest.raises(Cancelled):
        train("a.safetensors", 5, resume)
    assert [p.name for p in resume.parent.iterdir()] == ["last-invad-tiny.safetensors"]
    assert not (tmp_path / "a.safetensors").exists()
    resumed = train("a.safetensors", 99, resume)
    assert not list(resume.parent.iterdir())
    assert np.array_equal(resumed, train("b.safetensors", 99, None))


def test_it_can_be_cancelled_while_images_are_encoded(tmp_path: Path) -> None:
    told = list[Progress]()
    with pytest.raises(Cancelled):
        train_detector(
            plates(6),
            tmp_path / "d.safetensors",
            version="d",
            methods=ONLY_INVAD,
            report=told.append,
            cancelled=lambda: len(told) >= 3,
        )
    assert [p.share for p in told] == pytest.approx([0, 0.5 / 6, 1 / 6])


def test_every_recipe_belongs_to_a_detector() -> None:
    assert all(PRESETS[name].method in METHODS for name in project.RECIPES)
