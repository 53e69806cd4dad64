from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model.training.generation.crops import DefectCrops, drawn_windows, real_windows, store
from model.training.generation.trainer import GeneratorTrainer, GeneratorTraining
from tests.helpers.tiny_painter import SIZES, cloth, spot_on

QUICK = GeneratorTraining(steps=6, batch=3, save_seconds=1e6)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> DefectCrops:
    folder = tmp_path_factory.mktemp("crops")
    real = real_windows([("nut/spot", str(n), spot_on(n)) for n in range(3)])
    store(folder, [*real, *drawn_windows([cloth(0)], 2, np.random.default_rng(0))])
    return DefectCrops(folder)


def weights(trainer: GeneratorTrainer) -> dict[str, Tensor]:
    live = {f"live.{name}": weight.clone() for name, weight in trainer.live.state_dict().items()}
    return live | {f"average.{name}": weight.clone() for name, weight in trainer.average.state_dict().items()}


def silent(step: int, loss: float) -> None:
    pass


def test_a_training_that_was_stopped_ends_at_the_weights_of_one_that_was_not(
    crops: DefectCrops, tmp_path: Path
) -> None:
    whole = GeneratorTrainer(crops, QUICK, tmp_path / "whole.safetensors", sizes=SIZES)
    assert whole.run(silent)
    first = GeneratorTrainer(crops, QUICK, tmp_path / "part.safetensors", sizes=SIZES)
    assert not first.run(silent, cancelled=lambda: first.step == 2)
    assert (first.step, (tmp_path / "part.safetensors").exists()) == (2, True)
    second = GeneratorTrainer(crops, QUICK, tmp_path / "part.safetensors", sizes=SIZES)
    assert second.step == 2 and second.seconds > 0
    steps: list[int] = []
    assert second.run(lambda step, loss: steps.append(step))
    assert steps == [3, 4, 5, 6]
    for name, weight in weights(whole).items():
        assert torch.equal(weight, weights(second)[name]), name


def test_a_finished_training_has_nothing_left_to_do(crops: DefectCrops, tmp_path: Path) -> None:
    trainer = GeneratorTrainer(crops, QUICK, tmp_path / "last.safetensors", sizes=SIZES)
    trainer.run(silent)
    again = GeneratorTrainer(crops, QUICK, tmp_path / "last.safetensors", sizes=SIZES)
    assert again.run(lambda step, loss: pytest.fail("it trained"))


def test_a_damaged_state_is_begun_anew(crops: DefectCrops, tmp_path: Path) -> None:
    (tmp_path / "last.safetensors").write_bytes(b"half of a file")
    trainer = GeneratorTrainer(crops, QUICK, tmp_path / "last.safetensors", sizes=SIZES)
    assert trainer.step == 0 and trainer.run(silent)


def test_training_lowers_the_loss(crops: DefectCrops, tmp_path: Path) -> None:
    config = GeneratorTraining(steps=50, batch=6, learning_rate=0.03, save_seconds=1e6)
    trainer = GeneratorTrainer(crops, config, tmp_path / "last.safetensors", sizes=SIZES)
    batch = crops.draw(16, np.random.default_rng(9))
    before = float(trainer.loss(batch).detach())
    trainer.run(silent)
    trainer.step = 0  # the same noise as before
    assert float(trainer.loss(batch).detach()) < 0.9 * before


def test_half_of_the_loss_is_that_of_the_defect(crops: DefectCrops, tmp_path: Path) -> None:
    """A network that says nothing has the loss of the velocity, which is about 1 everywhere."""
    trainer = GeneratorTrainer(crops, QUICK, tmp_path / "last.safetensors", sizes=SIZES)
    batch = crops.draw(16, np.random.default_rng(9))
    plain = float(trainer.loss(batch).detach())
    assert 0.5 < plain < 2
    batch["clean"][:, 3:] = -1  # no defect: only the other half is left, which this changes little
    assert float(trainer.loss(batch).detach()) < 0.75 * plain


def test_the_learning_rate_rises_stays_and_falls(crops: DefectCrops, tmp_path: Path) -> None:
    config = GeneratorTraining(steps=1000, batch=1)
    trainer = GeneratorTrainer(crops, config, tmp_path / "last.safetensors", sizes=SIZES)
    rates = []
    for step in (0, 199, 600, 850, 999):
        trainer.step = step
        rates.append(round(trainer.rate(), 4))
    assert rates == [0.005, 1.0, 1.0, 0.5, 0.0033]


def test_numbers_that_are_none_end_it_in_words(crops: DefectCrops, tmp_path: Path) -> None:
    trainer = GeneratorTrainer(crops, QUICK, tmp_path / "last.safetensors", sizes=SIZES)
    with torch.no_grad():
        trainer.live.denoiser.enter.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="The loss became nan at step 0; nothing more was kept"):
        trainer.run(silent)
    assert not (tmp_path / "last.safetensors").exists()


def test_the_state_is_written_from_time_to_time(
    crops: DefectCrops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = GeneratorTraining(steps=3, batch=1, save_seconds=1e-9)
    trainer = GeneratorTrainer(crops, config, tmp_path / "last.safetensors", sizes=SIZES)
    saved: list[int] = []
    monkeypatch.setattr(trainer, "save", lambda: saved.append(trainer.step))
    trainer.run(silent)
    assert saved == [1, 2, 3, 3]


@pytest.mark.parametrize(
    ("setting", "value"), [("steps", 0), ("batch", 0), ("learning_rate", 0.0), ("untold", 1.5), ("seed", -1)]
)
def test_settings_out_of_their_range_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=setting):
        GeneratorTraining(**{setting: value})  # type: ignore[arg-type]
