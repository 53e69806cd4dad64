"""How InvAD learns: at the published size, and small until it makes good images anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.checkpoint.backbone_id import BackboneId
from model.detectors.eyes import BackboneEyes, Image
from model.detectors.invad.config import INVAD, INVAD_LITE, InvADConfig
from model.detectors.invad.network import InvAD
from model.features.backbones import WideResNet50
from model.segmentation.scenes import Scenes
from model.training.detectors.good_images import GoodImages
from model.training.detectors.invad import InvADLearner
from model.training.detectors.settings import DetectorTraining
from model.training.detectors.trainer import DetectorTrainer
from model.training.distributed import Worker
from tests.helpers.plates import plate

CONFIG = DetectorTraining(batch=2)


def good_images(
    blocks: tuple[int, int, int] = (3, 4, 6), images: Sequence[Image] = (), long_side: int = 64
) -> GoodImages:
    """Plates behind a wide ResNet of random weights."""
    torch.manual_seed(0)
    backbone = WideResNet50(blocks).eval().requires_grad_(False)
    eyes = BackboneEyes(backbone, BackboneId("wide_resnet50", "0"), long_side)
    there = {"plate": images or (plate(0)[:, :96], plate(1)[:, :96])}
    return GoodImages(eyes, there, Scenes(eyes, there))


def test_the_published_network_learns_behind_its_backbone() -> None:
    """All 70.8 M numbers of it, on one small batch; as published it starts from a loss far above 0."""
    network = InvAD(INVAD)
    learner = InvADLearner(network, good_images(), CONFIG)
    trainer = DetectorTrainer("invad", learner, CONFIG, steps=2)
    trainer.run()
    assert trainer.step == 2
    assert 0 < trainer.losses[1] < trainer.losses[0] < float("inf")
    assert all(p.grad is not None for p in network.parameters())
    group = learner.optimiser.param_groups[0]
    assert (group["betas"], group["weight_decay"], learner.clip) == ((0.0, 0.99), 0, 5.0)


def test_the_learning_rate_falls_to_a_tenth_for_the_last_fifth() -> None:
    learner = InvADLearner(
        InvAD(small()), good_images((1, 1, 1)), replace(CONFIG, learning_rate=2.0), pace=3.0
    )
    assert learner.optimiser.param_groups[0]["lr"] == pytest.approx(0.004 * 6)
    assert [learner.rate(share) for share in (0.0, 0.79, 0.8, 1.0)] == [1.0, 1.0, 0.1, 0.1]


def small(**sizes: object) -> InvADConfig:
    return replace(INVAD, widths=(16, 16, 16), style=16, blocks=1, standardised=True, **sizes)  # type: ignore[arg-type]


def test_the_loss_falls_and_has_the_weight_of_its_preset() -> None:
    torch.set_num_threads(1)
    losses = {}
    for weight in (1.0, INVAD_LITE.weight):
        torch.manual_seed(0)
        learner = InvADLearner(InvAD(small(weight=weight)), good_images((1, 1, 1)), CONFIG)
        losses[weight] = float(learner.loss(np.random.default_rng(0)).detach())
    assert losses[5.0] == pytest.approx(5 * losses[1.0], rel=1e-5)
    trainer = DetectorTrainer("small", learner, CONFIG, steps=25)
    trainer.run()
    assert trainer.losses[-1] < 0.7 * losses[5.0]


def test_images_of_one_batch_have_one_frame_and_all_of_them_have_their_turn() -> None:
    wide, square = plate(0), plate(1)[:, :96]
    good = good_images((1, 1, 1), (wide, square, wide, square, wide), 128)
    seen: list[tuple[int, ...]] = []

    class Watched(InvAD):
        def forward(self, pyramid):  # type: ignore[no-untyped-def]
            seen.append(tuple(pyramid[4].shape))
            return super().forward(pyramid)

    learner = InvADLearner(Watched(small()), good, CONFIG)
    for seed in range(8):
        learner.loss(np.random.default_rng(seed))
    assert set(seen) == {(2, 256, 24, 32), (2, 256, 32, 32)}


def test_each_process_learns_from_a_share_of_the_images() -> None:
    class Apart(Worker):
        """A process that shares no gradients, so that none but itself needs to run."""

        def share(self, network: torch.nn.Module) -> torch.nn.Module:
            return network

    there = tuple(plate(i)[:, :96] for i in range(5))
    shares = [
        sum(len(group) for group in InvADLearner(
            InvAD(small()), good_images((1, 1, 1), there), CONFIG, worker=Apart(rank, 2)
        )._groups)
        for rank in range(2)
    ]  # fmt: skip
    assert shares == [3, 2]
