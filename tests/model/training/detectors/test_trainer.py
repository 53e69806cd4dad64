"""The training of a detector: stopped and resumed at any step, and never kept when its numbers are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.training.detectors.settings import DetectorTraining
from model.training.detectors.trainer import DetectorTrainer


class Line:
    """Learns the slope 3 of a line, from points that the generator draws."""

    clip = 10.0

    def __init__(self, rate: float = 0.2) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Dropout(0.1)).train()
        self.optimiser = torch.optim.Adam(self.network.parameters(), rate)
        self.rates: list[float] = []

    def loss(self, rng: np.random.Generator) -> Tensor:
        self.rates.append(self.optimiser.param_groups[0]["lr"])
        x = torch.from_numpy(rng.normal(size=(8, 1))).float()
        loss: Tensor = (self.network(x) - 3 * x).square().mean()
        return loss

    def rate(self, progress: float) -> float:
        return 1.0 if progress < 0.5 else 0.1

    @property
    def slope(self) -> float:
        return float(self.network[0].weight.detach())  # type: ignore[arg-type]


def trainer(
    learner: Line, file: Path | None = None, steps: int = 40, judge: object = None
) -> DetectorTrainer:
    config = DetectorTraining(checks=4, save_seconds=0)
    return DetectorTrainer("line", learner, config, steps, judge, file, "same")  # type: ignore[arg-type]


def test_it_learns_at_the_rate_that_the_learner_asks_for() -> None:
    learner = Line()
    started = abs(learner.slope - 3)
    told: list[float] = []
    assert trainer(learner).run(lambda share, loss, checked: told.append(share))
    assert abs(learner.slope - 3) < 0.6 * started
    assert learner.rates == pytest.approx(20 * [0.2] + 20 * [0.02])
    assert told == pytest.approx([step / 40 for step in range(1, 41)])


def test_the_state_that_the_check_likes_best_is_kept() -> None:
    learner = Line()
    seen: list[float] = []

    def judge() -> float:
        assert learner.network.training
        learner.network.eval()  # as a detector does
        seen.append(learner.slope)
        return [0.2, 0.7, 0.7, 0.5][len(seen) - 1]

    trained = trainer(learner, judge=judge)
    trained.run()
    assert trained.curve == [(10, 0.2), (20, 0.7), (30, 0.7), (40, 0.5)]
    assert float(trained.best.state_dict()["0.weight"]) == seen[1] != learner.slope
    without = trainer(Line())
    without.run()
    assert float(without.best.state_dict()["0.weight"]) == without.learner.slope  # type: ignore[attr-defined]


def test_an_interrupted_training_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = trainer(Line(), judge=lambda: 0.5)
    whole.run()
    file, count = tmp_path / "state.safetensors", 0

    def after_13() -> bool:
        nonlocal count
        count += 1
        return count == 13

    assert not trainer(Line(), file, judge=lambda: 0.5).run(cancelled=after_13)
    again = trainer(Line(), file, judge=lambda: 0.5)
    assert (again.step, again.curve) == (13, [(10, 0.5)])
    assert again.run()
    assert again.learner.slope == whole.learner.slope  # type: ignore[attr-defined]
    assert again.curve == whole.curve
    done = trainer(Line(), file, judge=lambda: 0.5)  # killed after the last step: nothing is done twice
    assert done.run()
    assert not done.learner.rates  # type: ignore[attr-defined]
    assert torch.equal(done.best.state_dict()["0.weight"], whole.best.state_dict()["0.weight"])


def test_a_state_of_another_training_or_a_damaged_one_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "state.safetensors"
    trainer(Line(), file).run()
    other = DetectorTrainer("line", Line(), DetectorTraining(), 40, None, file, "other")
    assert other.step == 0
    file.write_bytes(file.read_bytes()[:50])
    assert trainer(Line(), file).step == 0


def test_a_loss_that_is_no_number_ends_the_training_in_words(tmp_path: Path) -> None:
    """Reliability row 20."""
    file = tmp_path / "state.safetensors"
    learner = Line(rate=1e30)
    with pytest.raises(
        FloatingPointError, match=r"The loss of line became (nan|inf) at step \d+; .*Lower the"
    ):
        trainer(learner, file).run()
    assert torch.isfinite(trainer(Line(), file).best.state_dict()["0.weight"]).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", 0), ("batch", 0.5), ("learning_rate", 0.0), ("checks", 0), ("held_out", 1.5), ("seed", -1),
     ("images", 0), ("defects", 0), ("checked", 0), ("most_held_out", -1)],
)  # fmt: skip
def test_settings_out_of_their_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"DetectorTraining\.{field}: "):
        DetectorTraining(**{field: value})  # type: ignore[arg-type]
