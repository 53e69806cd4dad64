"""``adclick`` with the base preset at a small size, for one of the processes that torchrun starts.

Each process also writes its weights and losses beside the state, as rank-N.safetensors and rank-N.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

from safetensors.torch import save_file

from adclick_backend.cli import main
from model.commands import train_click_base
from model.features.backbones import WideResNet50
from model.interactive.base import BaseConfig
from model.language.encoders import WIDTH
from model.training.interactive.batches import Batch, ClickTraining
from model.training.interactive.trainer import ClickTrainer

BLOCKS = (1, 1, 1)
SIZES = BaseConfig(
    residual=32, width=16, depth=2, heads=2, window=4, words=WIDTH, pyramid=(8, 8, 8, 8), head=8
)  # fmt: skip


class Witness(ClickTrainer):
    """A trainer that tells what each process knows."""

    losses: list[float]

    def train_step(self, batch: Batch) -> float:
        loss = super().train_step(batch)
        self.losses = [*getattr(self, "losses", []), loss]
        return loss

    def save(self) -> None:
        super().save()
        weights = {name: value.contiguous() for name, value in self.network.state_dict().items()}
        save_file(weights, self.folder / f"rank-{self.worker.rank}.safetensors")
        told = {"losses": self.losses, "step": self.step, "processes": self.worker.count}
        (self.folder / f"rank-{self.worker.rank}.json").write_text(json.dumps(told))


def small(args: argparse.Namespace) -> ClickTraining:
    config = settings(args)
    return replace(config, crops=tuple((cells, 2, share) for cells, _, share in config.crops))


if __name__ == "__main__":
    settings = train_click_base.settings
    WideResNet50.__init__.__defaults__ = (BLOCKS,)  # type: ignore[attr-defined]
    train_click_base.SIZES, train_click_base.LONG_SIDE = SIZES, 96
    train_click_base.HELD_BACK, train_click_base.TEMPERATURE_IMAGES = 1, 2
    train_click_base.ClickTrainer, train_click_base.settings = Witness, small  # type: ignore[misc]
    sys.exit(main())
