from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from model.datasets.mvtec import find_categories
from model.features.backbones import EfficientNetLite0
from model.generation.synthesis import KINDS, add_defect
from model.interactive.lite import LiteConfig
from model.training.distributed import Worker
from model.training.interactive.batches import ClickTraining, SampleFiles, Sampler, load_batch
from model.training.interactive.samples import build, build_drawn, find_samples, read_crop
from model.training.interactive.trainer import ClickTrainer, new_network
from model.training.simulation import ClickSimulation


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sample files of a small drawn product: six good images, two with defects."""
    root, rng = tmp_path_factory.mktemp("data") / "drawn" / "plate", np.random.default_rng(0)
    for kind in ("train/good", "test/stain", "ground_truth/stain"):
        (root / kind).mkdir(parents=True)
    for i in range(6):
        good = np.clip(rng.normal(130, 6, (96, 128, 3)), 0, 255).astype(np.uint8)
        cv2.circle(good, (64, 48), 25, (200, 180, 160), -1)
        cv2.imwrite(str(root / f"train/good/{i}.png"), good)
        if i < 2:
            image, mask, _ = add_defect(good, rng, "stain")
            cv2.imwrite(str(root / f"test/stain/{i}.png"), image)
            cv2.imwrite(str(root / f"ground_truth/stain/{i}_mask.png"), mask.astype(np.uint8) * 255)
    cache = tmp_path_factory.mktemp("samples")
    torch.manual_seed(0)
    backbone = EfficientNetLite0().eval()
    categories = find_categories([root.parent.parent])
    for _ in range(2):  # the second time there is nothing left to do
        build(categories, cache, backbone, long_side=128, synthetic=6, without_references=set())
    return cache


def test_samples_hold_real_and_synthetic_defects(samples: Path) -> None:
    found = list(find_samples(samples))
    assert {s.category for s in found} == {"drawn/plate"}
    assert sum(s.real for s in found) == 2
    assert sum(not s.real for s in found) == 6


def test_crops_fit_together_at_every_stride(samples: Path) -> None:
    rng = np.random.default_rng(0)
    for sample in find_samples(samples):
        crop = read_crop(sample, 32, rng, defect_share=1.0)
        assert crop["mask"].shape == (64, 64)
        assert (crop["mask"] == 1).any()
        assert {k: v.shape[-1] for k, v in crop.items() if k.startswith("stride")} == {
            "stride2": 32, "stride4": 16, "stride8": 8, "stride16": 4,
        }  # fmt: skip


def test_a_crop_larger_than_the_image_is_padded_with_ignored_pixels(samples: Path) -> None:
    crop = read_crop(next(iter(find_samples(samples))), 96, np.random.default_rng(0), 0.5)
    assert (crop["mask"] == -1).any()
    assert crop["static"].shape[-2:] == (96, 96)


def test_training_learns_and_can_be_resumed(samples: Path, tmp_path: Path) -> None:
    config = ClickTraining(steps=10000, crops=((32, 4, 1.0),), jitter=1.0)
    sampler = Sampler(list(find_samples(samples)), config.synthetic_share)
    trainer = ClickTrainer(new_network(1), SampleFiles(sampler), config, tmp_path)
    rng = np.random.default_rng(0)
    losses = [trainer.train_step(load_batch(sampler, 32, 4, rng)) for _ in range(40)]
    assert np.mean(losses[-8:]) < 0.95 * np.mean(losses[:4])
    trainer.save()
    again = ClickTrainer(new_network(2), SampleFiles(sampler), config, tmp_path)
    assert again.resume()
    assert again.step == trainer.step
    for a, b in zip(again.ema.parameters(), trainer.ema.parameters(), strict=True):
        assert torch.equal(a, b)
    again.train_step(load_batch(sampler, 32, 4, rng))


def test_a_run_stops_when_its_time_is_up_and_leaves_a_curve(samples: Path, tmp_path: Path) -> None:
    config = ClickTraining(steps=100, crops=((32, 2, 1.0),))
    sampler = Sampler(list(find_samples(samples)), 0.5)
    trainer = ClickTrainer(new_network(1), SampleFiles(sampler), config, tmp_path)
    trainer.step = 99
    trainer.run()
    assert json.loads((tmp_path / "curve.jsonl").read_text())["step"] == 100
    assert (tmp_path / "last.safetensors").exists()
    assert trainer.run() and trainer.step == 100  # nothing is left to do


def test_in_the_last_part_of_a_run_all_evidence_is_shown(samples: Path, tmp_path: Path) -> None:
    config = ClickTraining(steps=4, thinned=0.5, max_next_clicks=0, crops=((32, 2, 1.0),))
    trainer = ClickTrainer(
        new_network(0), SampleFiles(Sampler(list(find_samples(samples)), 1.0)), config, tmp_path
    )
    shares = []
    step = trainer.train_step
    trainer.train_step = lambda batch: (step(batch), shares.append(trainer.network.dropout))[0]  # type: ignore[method-assign]
    trainer.run()
    assert shares == [LiteConfig().dropout, LiteConfig().dropout, 0.0, 0.0]


def test_of_several_processes_the_first_one_writes(samples: Path, tmp_path: Path) -> None:
    source = SampleFiles(Sampler(list(find_samples(samples)), 0.5))
    trainer = ClickTrainer(
        new_network(1), source, ClickTraining(steps=100, crops=((32, 2, 1.0),)), tmp_path, Worker(rank=1)
    )
    trainer.step = 99
    trainer.run()
    assert trainer.step == 100
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_not_a_number_ends_the_run(samples: Path, tmp_path: Path) -> None:
    network = new_network(1)
    torch.nn.init.constant_(network.head.weight, float("nan"))
    sampler = Sampler(list(find_samples(samples)), 0.5)
    trainer = ClickTrainer(network, SampleFiles(sampler), ClickTraining(max_next_clicks=0), tmp_path)
    with pytest.raises(FloatingPointError, match="step 0"):
        trainer.train_step(load_batch(sampler, 32, 2, np.random.default_rng(0)))


def test_training_goes_on_from_weights_that_know_less_evidence(samples: Path) -> None:
    before = new_network(3)
    known = {**before.state_dict(), "stem.weight": before.stem.weight[:, :-4].clone()}
    after = new_network(4, known)
    assert torch.equal(after.stem.weight[:, :-4], known["stem.weight"])
    assert not after.stem.weight[:, -4:].any()
    assert torch.equal(after.head.weight, before.head.weight)


def test_a_second_look_brings_the_mask_back_without_a_click() -> None:
    mask = np.zeros((2, 32, 32), np.float32)
    mask[:, 8:20, 8:20] = 1
    simulation = ClickSimulation(mask, np.random.default_rng(0), jitter=1.0)
    clicks = [list(c) for c in simulation.clicks]
    simulation.advance([0, 1], torch.full((2, 1, 32, 32), 0.3), second_looks=1.0)
    assert simulation.clicks == clicks
    assert torch.allclose(simulation.previous, torch.tensor(0.3))
    simulation.advance([0, 1], torch.full((2, 1, 32, 32), 0.3))
    assert [len(c) for c in simulation.clicks] == [len(c) + 1 for c in clicks]


def test_drawn_products_become_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.training.interactive.samples.PIECES_OF_DRAWN", 3)
    monkeypatch.setattr("model.training.interactive.samples.DEFECTS_OF_DRAWN", 4)
    for _ in range(2):  # the second time there is nothing left to do
        build_drawn(range(1), tmp_path, EfficientNetLite0().eval(), long_side=96)
    found = list(find_samples(tmp_path))
    assert {s.category for s in found} == {"drawn/0000"}
    assert 2 <= len(found) <= 4  # a defect that its window all but misses is left out
    assert not any(s.real for s in found)
    assert {s.kind for s in found} <= {*KINDS, "missing"}


def test_samples_that_do_not_say_what_their_defect_is_called_can_be_trained_on(
    samples: Path, tmp_path: Path
) -> None:
    path = next(find_samples(samples)).path
    save_file(load_file(path), tmp_path / path.name)
    (old,) = find_samples(tmp_path)
    assert old.kind == ""
    batch = load_batch(Sampler([old], 0.5), 32, 2, np.random.default_rng(0))
    assert batch.kinds == ("", "")


def test_no_samples_is_said_in_words() -> None:
    with pytest.raises(ValueError, match="no training samples"):
        Sampler([], 0.5)
