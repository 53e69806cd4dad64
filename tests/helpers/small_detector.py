"""``adclick train detector`` on frames of 128 px, for one of the processes that torchrun starts.

Each process also writes its weights, as rank-N.safetensors in the folder of the run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from safetensors.torch import save_file

from adclick_backend.cli import main
from model.commands import train_detector
from model.training.detectors import project
from model.training.detectors.trainer import DetectorTrainer
from tests.helpers.plates import SmallPredictor


class Small(SmallPredictor):
    """That computes where it is told to."""

    def __init__(self, weights: Path, device: str, asked: str) -> None:
        super().__init__(weights, asked)


class Witness(DetectorTrainer):
    """A trainer that tells what each process knows."""

    def save(self) -> None:
        super().save()
        weights = {key: value.contiguous() for key, value in self.learner.network.state_dict().items()}
        weights |= {"rate": weights["decoder.constant"].new_tensor(self.losses)}
        save_file(weights, Path(os.environ["WITNESSES"]) / f"rank-{self.worker.rank}.safetensors")


if __name__ == "__main__":
    train_detector.Predictor = Small  # type: ignore[misc, assignment]
    project.DetectorTrainer = Witness  # type: ignore[misc]
    sys.exit(main())
