from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn

from model.checkpoint.backbone_id import BackboneId
from model.detectors.eyes import BackboneEyes
from model.detectors.methods import PRESETS
from model.detectors.onenip.config import ONENIP, ONENIP_TINY
from model.detectors.onenip.detector import OneNIPDetector
from model.detectors.onenip.network import OneNIP
from model.features.encoding import Encoded
from model.features.timm_pyramid import TimmPyramid
from model.segmentation.scenes import Scenes
from model.training.detectors import onenip
from model.training.detectors.good_images import GoodImages
from model.training.detectors.onenip import OneNIPLearner, covered, dice_loss
from model.training.detectors.settings import DetectorTraining
from tests.helpers.plates import SmallPredictor, plate, stained

SMALL = replace(ONENIP_TINY, width=64, heads=4, feed_forward=128, grid=4, neighbourhood=3, refiner=32)


def test_dice_is_nothing_for_a_mask_that_is_found_and_counts_squares() -> None:
    """By hand: sum pt = 1.1, sum p^2 = .77, sum t^2 = 2: 1 - 3.2 / 3.77."""
    target = torch.tensor([1.0, 1, 0, 0]).view(1, 1, 2, 2)
    probability = torch.tensor([0.8, 0.3, 0.2, 0.0]).view(1, 1, 2, 2)
    both = torch.cat([probability, target, torch.zeros_like(target)])
    truth = torch.cat([target, target, torch.zeros_like(target)])
    expected = [1 - 3.2 / 3.77, 0.0, 0.0]
    assert dice_loss(both, truth).tolist() == pytest.approx(expected, abs=1e-6)
    assert float(dice_loss(probability, torch.zeros_like(target))) == pytest.approx(1 - 1 / 1.77)


def test_a_mask_is_kept_as_the_share_of_each_place_that_it_covers() -> None:
    mask = np.zeros((64, 96), bool)
    mask[:4, :6] = True
    found = covered(mask, (4, 6))
    assert found.shape == (1, 1, 16, 24)
    assert found.dtype == torch.uint8
    assert found[0, 0, 0, :2].tolist() == [255, 128]
    assert int(found.sum()) == 383


@pytest.fixture(scope="module")
def plates() -> GoodImages:
    return good({"plate": [plate(i) for i in range(4)]})


def good(images: dict[str, list[np.ndarray]]) -> GoodImages:
    eyes = SmallPredictor()
    return GoodImages(eyes, images, Scenes(eyes, images))


def steps(learner: OneNIPLearner, count: int) -> list[float]:
    """Losses of a plain training."""
    losses = []
    for step in range(count):
        torch.manual_seed(step)
        learner.optimiser.zero_grad()
        loss = learner.loss(np.random.default_rng(step))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learner.network.parameters(), learner.clip)
        learner.optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def test_a_small_training_lowers_the_loss_and_finds_a_stain(
    plates: GoodImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    network = OneNIP(SMALL)
    learner = OneNIPLearner(network, plates, DetectorTraining(learning_rate=3.0))
    losses = steps(learner, 25)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert 0 < float(network.lowest) < float(network.highest)

    image, mask = stained(9)
    scene = plates.scenes.of(image, "plate")
    detector = OneNIPDetector("onenip-tiny", network, plates.eyes.backbone_id, plates.eyes.long_side)
    found, score = detector.look(scene)
    assert found.shape == (24, 32)
    assert found.dtype == np.float32
    stain = covered(mask, (6, 8))[0, 0].numpy() > 127
    assert found[stain].mean() > 2 * found[~stain].mean()
    fresh = plate(11)
    assert score > 1.3 * detector.look(plates.scenes.of(fresh, "plate")).score

    again = OneNIP(SMALL)
    again.load_state_dict(network.state_dict())
    same = OneNIPDetector("onenip-tiny", again, plates.eyes.backbone_id, plates.eyes.long_side).look(scene)
    assert np.array_equal(same.map, found)


def test_the_loss_of_a_step_is_the_same_for_the_same_draws(plates: GoodImages) -> None:
    torch.manual_seed(0)
    learner = OneNIPLearner(OneNIP(SMALL), plates, DetectorTraining())
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        found.append(float(learner.loss(np.random.default_rng(3)).detach()))
    assert found[0] == found[1]


def test_the_prompt_is_another_image_of_the_product_and_with_one_image_the_image_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onenip, "ROOM", 8 * 2 * 256 * 6 * 8 * 2)
    oblong = np.ascontiguousarray(plate(7)[:64])
    learner = OneNIPLearner(
        OneNIP(SMALL),
        good({"plate": [plate(0), plate(1), oblong], "other": [plate(5)]}),
        DetectorTraining(batch=2),
    )
    assert learner._others(0) == [1, 2]
    assert learner._others(3) == [3]
    sizes = {tuple(shape): len(group) for shape, group in learner._groups.items()}
    assert sum(sizes.values()) == 8
    assert set(sizes) == {(1, 256, 6, 8), (1, 256, 4, 8)}
    for seed in range(6):
        assert torch.isfinite(learner.loss(np.random.default_rng(seed)))


def test_the_learning_rate_rises_stays_and_falls() -> None:
    learner = OneNIPLearner.__new__(OneNIPLearner)
    learner.network = OneNIP(SMALL)
    assert [round(learner.rate(p), 3) for p in (0, 0.025, 0.05, 0.5, 0.79, 0.8, 1)] == [
        0.1, 0.5, 1.0, 1.0, 1.0, 0.1, 0.1,
    ]  # fmt: skip
    learner.network = OneNIP(replace(SMALL, warm=0.0))
    assert learner.rate(0.0) == 1.0


def test_without_a_reference_it_says_what_is_missing(plates: GoodImages) -> None:
    scene = replace(plates.scenes.of(plate(3), "plate"), references=[])
    detector = OneNIPDetector("onenip-tiny", OneNIP(SMALL), plates.eyes.backbone_id, 128)
    with pytest.raises(ValueError, match="onenip-tiny compares an image with a good image of its product"):
        detector.look(scene)


@pytest.mark.skipif(
    find_spec("timm") is None or find_spec("torchvision") is None,
    reason="the extra timm is not installed: pip install 'adclick-backend[timm]'",
)
def test_one_step_behind_the_paper_s_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onenip, "ROOM", 4 * 272 * 14 * 14 * 2)
    preset = PRESETS["onenip"]
    backbone = TimmPyramid(preset.timm, preset.strides)
    assert tuple(backbone.channels.values()) == ONENIP.channels
    eyes = BackboneEyes(backbone, backbone.backbone_id, preset.long_side)
    images = {"plate": [plate(0), plate(1)]}
    learner = OneNIPLearner(
        OneNIP(ONENIP), GoodImages(eyes, images, Scenes(eyes, images)), DetectorTraining(batch=1)
    )
    (loss,) = steps(learner, 1)
    assert np.isfinite(loss)
    scene = Scenes(eyes, images).of(stained(3)[0], "plate")
    found = OneNIPDetector("onenip", learner.network, eyes.backbone_id, eyes.long_side).look(scene).map
    assert found.shape == (40, 56)


class Seen:
    """Eyes whose features are noise, in the shapes of EfficientNet-B4's at 224 px."""

    backbone_id, long_side = BackboneId("timm:efficientnet_b4", ""), 224

    def encode(self, image: np.ndarray) -> Encoded:
        seed = torch.Generator().manual_seed(int(image.sum()) % 2**31)
        levels = zip(ONENIP.strides, ONENIP.channels, strict=True)
        pyramid = {s: torch.randn(1, c, 224 // s, 224 // s, generator=seed) for s, c in levels}
        return Encoded(torch.zeros(1, 3, 112, 112), pyramid, torch.rand(36, generator=seed))


def test_one_step_at_the_paper_s_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """8.4 million parameters, 14 x 14 tokens of 272 channels; every parameter learns."""
    monkeypatch.setattr(onenip, "ROOM", 4 * 272 * 14 * 14 * 2)
    eyes, images = Seen(), {"plate": [plate(0), plate(1)]}
    torch.manual_seed(0)
    network = OneNIP(ONENIP)
    assert sum(p.numel() for p in network.parameters()) == 8_372_625
    learner = OneNIPLearner(
        network, GoodImages(eyes, images, Scenes(eyes, images)), DetectorTraining(batch=2)
    )
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    (loss,) = steps(learner, 1)
    assert 1.5 < loss < 6, "about 2 x the variance of the features, and half of Dice"
    still = {name for name, p in network.named_parameters() if torch.equal(p, before[name])}
    assert {name for name in still if not name.endswith("key.bias")} == set(), (
        "adding to all keys alike does nothing"
    )
