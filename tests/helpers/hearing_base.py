"""A small network of the base preset that learns two types of defects which nothing but their names tells apart.

Both are one dark square within a lighter one. A "scratch" is the dark one alone, a "dent" is both.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from model.checkpoint.files import export
from model.features.backbones import WideResNet50
from model.interactive.base import BaseClickNetwork, BaseConfig
from model.language.encoders import WIDTH
from model.language.vocabulary import builtin_vocabulary
from model.training.interactive.batches import Batch, ClickTraining
from model.training.interactive.on_the_fly import Defect, LiveBatches, Seen, Source
from model.training.interactive.trainer import ClickTrainer

BLOCKS = (1, 1, 1)
SIDE = 64
INNER, OUTER = 8, 20
SIZES = BaseConfig(
    residual=32, width=16, depth=2, heads=2, window=4, words=WIDTH, pyramid=(8, 8, 8, 8), head=8
)  # fmt: skip
HALF = {"scratch": INNER, "dent": OUTER}
"""Half the side of what each type's mask is, in pixels."""


def plate(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).normal(130, 4, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)


def square(x: int, y: int, half: int) -> NDArray[np.bool_]:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y - half : y + half, x - half : x + half] = True
    return mask


def damaged(seed: int, x: int = 32, y: int = 32) -> NDArray[np.uint8]:
    pixels = plate(seed)
    pixels[square(x, y, OUTER)] = (200, 190, 60)
    pixels[square(x, y, INNER)] = (30, 20, 40)
    return pixels


class Repeated:
    """Some batches over and over, so that the features of a view are computed once."""

    def __init__(self, source: LiveBatches, config: ClickTraining, count: int) -> None:
        rng = np.random.default_rng(0)
        self._batches = [source.batch(config, rng) for _ in range(count)]

    def batch(self, config: ClickTraining, rng: np.random.Generator) -> Batch:
        return self._batches[int(rng.integers(len(self._batches)))]


def train(folder: Path, steps: int = 300) -> Path:
    """Train it from scratch and write ``base.safetensors`` to `folder`."""
    torch.manual_seed(0)
    backbone = WideResNet50(BLOCKS).eval().requires_grad_(False)
    for module in backbone.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    network = BaseClickNetwork(SIZES)
    source = Source("plates/plate", lambda: [plate(i) for i in range(4)], comparable=True)

    def look(kind: str, rng: np.random.Generator) -> Seen:
        x, y = (int(v) for v in rng.integers(OUTER + 4, SIDE - OUTER - 4, 2))
        return Seen(damaged(int(rng.integers(1000)), x, y), square(x, y, HALF[kind]), kind, None)

    defects = [Defect(source, False, lambda good, rng, kind=kind: look(kind, rng)) for kind in HALF]
    config = ClickTraining(
        steps=steps, learning_rate=1e-2, ema=0.9, max_next_clicks=0, crops=((SIDE // 2, 4, 1.0),)
    )
    vocabulary = builtin_vocabulary(HALF)
    live = LiveBatches(
        defects, backbone, network, SIDE, config, {}, torch.device("cpu"), vocabulary=vocabulary
    )
    trainer = ClickTrainer(network, Repeated(live, config, 12), config, folder / "run")
    trainer.run()
    about = {"version": "hearing-1", "preset": "base", "backbone": "wide_resnet50", "network": asdict(SIZES)}
    out = folder / "base.safetensors"
    export(backbone, trainer.ema, out, {**about, "long_side": SIDE, "encoder": vocabulary.encoder})
    return out
