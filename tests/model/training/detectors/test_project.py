"""From good images to a checkpoint of detectors, whole and small: a defect is found that nobody labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.detectors.checkpoint import read_detector
from model.detectors.eyes import Image
from model.detectors.methods import METHODS, PRESETS, detector_of
from model.interactive.scenes import Scenes
from model.training.detectors import project
from model.training.detectors.project import train_detector
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
    assert told[-3].metrics == {"invad-tiny": pytest.approx(checks[-1][1], abs=1e-3)}

    read = read_detector(out)
    assert (read.version, read.serves, read.training) == ("d-1", ["invad-tiny"], about)
    part = read.part("invad-tiny")
    assert part is not None
    detector = detector_of(part, read.backbone_id, read.long_side, out.name)
    eyes = SmallPredictor(asked="float32")
    scenes = Scenes(eyes, {})
    ratios = []
    for seed in (20, 21, 22):
        image, mask = stained(seed)
        found = detector.look(scenes.of(image, "plate"))
        assert found.map.shape == (96, 128)
        assert found.score == found.map.max()
        ratios.append(found.map[mask].mean() / found.map[~mask].mean())
        assert found.score > detector.look(scenes.of(plate(seed), "plate")).score
    assert min(ratios) > 1.3


def test_one_good_image_is_too_few_for_invad_and_said_so(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"InvAD learns what good images have in common, .* add at least one more"
    ):
        train_detector(plates(1), tmp_path / "d.safetensors", version="d", methods=ONLY_INVAD, config=SMALL)
    with pytest.raises(ValueError, match=r"There is nothing to learn from: .* Add at least one"):
        train_detector({"a": []}, tmp_path / "d.safetensors", version="d", methods=ONLY_INVAD, config=SMALL)
    assert not list(tmp_path.iterdir())


def test_detectors_that_are_not_there_are_named(tmp_path: Path) -> None:
    for name in ("oracle", "invad"):
        with pytest.raises(
            ValueError, match=f"no detector '{name}' to be trained here; there are: invad-tiny"
        ):
            train_detector(plates(3), tmp_path / "d.safetensors", version="d", methods=(name,))


def test_one_image_of_each_product_can_be_learned_from_and_not_checked(tmp_path: Path) -> None:
    there: dict[str, Sequence[Image]] = {"a": [plate(0)], "b": [plate(1)]}
    config = replace(SMALL, steps=2)
    about = train_detector(there, tmp_path / "d.safetensors", version="d", methods=ONLY_INVAD, config=config)
    assert about["detectors"]["invad-tiny"]["checks"] == []
    assert "There is one good image of each product" in about["notes"][0]


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


def test_every_recipe_belongs_to_a_detector() -> None:
    assert all(PRESETS[name].method in METHODS for name in project.RECIPES)
