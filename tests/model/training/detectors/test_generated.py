"""OneNIP learns from images with generated defects, of which it may know no more than a box."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.checkpoint.files import read_weights
from model.detectors.methods import PRESETS
from model.detectors.onenip.config import ONENIP_TINY
from model.detectors.onenip.network import OneNIP
from model.labels.generated import GeneratedImage, boxed
from model.labels.labelled import painted
from model.segmentation.scenes import Scenes
from model.training.detectors import project
from model.training.detectors.good_images import GoodImages, painted_on, split
from model.training.detectors.onenip import OneNIPLearner, believed, dice_loss
from model.training.detectors.project import train_detector
from model.training.detectors.settings import DetectorTraining
from tests.helpers.plates import SmallPredictor, plate, stained

SMALL = replace(ONENIP_TINY, width=64, heads=4, feed_forward=128, grid=4, neighbourhood=3, refiner=32)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def generated(seed: int, host: int | None, kind: str = "box", product: str = "plate") -> GeneratedImage:
    image, mask = stained(seed)
    inside = np.zeros_like(mask)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    label = painted(mask) if kind == "mask" else boxed(inside)
    return GeneratedImage(f"stain-{seed}", lambda: image, lambda: label, "stain", host, product)


def learner(*images: GeneratedImage, batch: int = 4) -> OneNIPLearner:
    there, eyes = {"plate": [plate(i) for i in range(3)]}, SmallPredictor()
    torch.manual_seed(0)
    good = GoodImages(eyes, there, Scenes(eyes, there), images)
    return OneNIPLearner(OneNIP(SMALL), good, DetectorTraining(batch=batch))


def test_inside_a_box_a_place_counts_once_it_is_called_a_defect() -> None:
    """By hand: outside 0.2 of a normal place; inside 0.8 is believed to be a defect, and 0.1 is left out."""
    probability = torch.tensor([0.2, 0.8, 0.1, 0.9]).view(1, 1, 1, 4).requires_grad_()
    target = torch.tensor([0.0, 1, 1, 1]).view(1, 1, 1, 4)
    somewhere = torch.tensor([False, True, True, False]).view(1, 1, 1, 4)
    loss = dice_loss(*believed(probability, target, somewhere))
    squares = 0.2**2 + 0.8**2 + 0.9**2
    assert float(loss.detach()) == pytest.approx(1 - (2 * (0.8 + 0.9) + 1) / (squares + 2 + 1), abs=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert probability.grad is not None
    outside, called, dark, known = probability.grad.flatten().tolist()
    assert dark == 0
    assert outside > 0 > max(called, known)
    nowhere = torch.zeros_like(somewhere)
    assert torch.equal(dice_loss(*believed(probability, target, nowhere)), dice_loss(probability, target)), (
        "what is known everywhere is learned as before"
    )


def test_half_of_what_is_drawn_from_is_generated_and_each_restores_its_own_host() -> None:
    taught = learner(generated(5, 2), generated(6, 0, "mask"), generated(7, None))
    (group,) = taught._painted.values()
    assert [(one.host, one.boxed) for one in group] == [(2, True), (0, False)]
    assert all(one.assembled is not None for one in group), "its prompt is made without its host"
    drawn: list[bool] = []
    features = taught._features

    def watched(joints: list[torch.Tensor]) -> torch.Tensor:
        drawn.extend(any(joint is one.joint for one in group) for joint in joints)
        return features(joints)

    taught._features = watched  # type: ignore[method-assign]
    for step in range(12):
        torch.manual_seed(step)
        assert torch.isfinite(taught.loss(np.random.default_rng(step)))
    assert drawn.count(True) / (12 * 4) == pytest.approx(0.5, abs=0.15)


def test_what_was_painted_on_an_image_that_is_kept_back_is_left_out() -> None:
    references = {"plate": [plate(i) for i in range(6)], "other": [plate(9)]}
    train, kept, _ = split(references, DetectorTraining())
    every = [generated(20 + host, host) for host in range(6)]
    found = painted_on([*every, generated(30, None), generated(31, 0, product="unknown")], train)
    assert len(found) == len(train["plate"]) == 6 - len(kept["plate"])
    for image in found:
        assert image.host is not None
        number = int(image.name.split("-")[1]) - 20
        assert train["plate"].places[image.host] == number
        assert number not in kept["plate"].places
        assert np.array_equal(train["plate"][image.host], references["plate"][number])


def test_a_training_says_how_many_there_were_and_learns_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "Predictor", SmallPredictor)
    monkeypatch.setitem(PRESETS, "onenip-tiny", PRESETS["onenip-tiny"]._replace(config=SMALL))
    weights = {}
    for name, images in (("plain", ()), ("taught", tuple(generated(40 + i, i) for i in range(4)))):
        about = train_detector(
            {"plate": [plate(i) for i in range(4)]}, tmp_path / f"{name}.safetensors", version="d",
            methods=("onenip-tiny",), config=DetectorTraining(steps=2, checks=1, defects=1),
            asked="float32", generated=images,
        )  # fmt: skip
        assert about.get("generated") == (3 if images else None), "one of the four hosts is kept back"
        weights[name] = read_weights(tmp_path / f"{name}.safetensors")
    assert any(not torch.equal(weights["plain"][key], weights["taught"][key]) for key in weights["plain"])
