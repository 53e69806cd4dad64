"""The base preset trained behind each backbone: memory, seconds a step, and what its masks are worth."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import nn

from adclick_runtime.frame import Frame
from model.checkpoint.files import export
from model.clicks import simulate_clicks
from model.commands import train_click_base
from model.datasets.mvtec import find_categories, read_mask, read_rgb
from model.features.backbones import WideResNet50
from model.features.loading import load_shared
from model.features.number_format import number_format
from model.generation.synthesis import Image, Mask
from model.interactive.base import BaseClickNetwork, BaseConfig
from model.interactive.encoded_references import EncodedReferences
from model.interactive.prediction import Prediction, predict
from model.interactive.predictor import Predictor
from model.language.prompts import builtin_prompts
from model.language.vocabulary import builtin_vocabulary
from model.matching.nearest import MatchingConfig
from model.metrics.masks import iou
from model.training.distributed import Worker, worker
from model.training.interactive.batches import ClickTraining
from model.training.interactive.on_the_fly import Defect, LiveBatches, drawn, kinds_of, photographed
from model.training.interactive.trainer import ClickTrainer
from tests.gpu import memory
from tests.gpu.table import Row

CLICKS = 5


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    network: BaseConfig
    blocks: tuple[int, ...]
    long_side: int
    samples: int | None  # in a batch; None: the usual numbers
    warm: int  # steps that are not timed
    timed: int


FULL = Sizes(train_click_base.SIZES, (3, 4, 6), train_click_base.LONG_SIDE, None, 5, 25)
TINY = Sizes(
    replace(
        FULL.network, residual=32, width=16, depth=2, heads=2, window=4, pyramid=(8, 8, 8, 8), head=8
    ),
    (1, 1, 1), 96, 1, 1, 1,
)  # fmt: skip


def measure(sizes: Sizes, args: argparse.Namespace) -> Iterator[Row]:
    """One row for each backbone."""
    categories = find_categories(args.data)
    count = 1 if args.tiny else args.drawn
    defects = [d for number in range(count) for d in drawn(number)]
    for category in categories:
        defects += photographed(category, synthetic=36, limit=110, seed=0, comparable=True)
    vocabulary = builtin_vocabulary(kinds_of(categories)) if sizes.network.words else None
    with worker() as me:
        wide = WideResNet50(sizes.blocks)
        for module in wide.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        vit, named = load_shared("lite0_vit")
        found = {
            "WideResNet-50 of random weights": (wide, 0.0),
            "the vision transformer that ships": (vit, args.minutes),
        }
        for what, (backbone, minutes) in found.items():
            torch.manual_seed(0)
            backbone.eval().requires_grad_(False).to(me.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            network, config = BaseClickNetwork(sizes.network), _config(sizes)
            format_ = number_format(device=str(me.device))
            source = LiveBatches(
                defects, backbone, network, sizes.long_side, config, {}, me.device,  # type: ignore[arg-type]
                MatchingConfig(dtype=format_.dtype), vocabulary,
            )  # fmt: skip
            memory.reset()
            seconds = _seconds_a_step(network, source, config, sizes, args.out / "timed", me)
            print(f"base behind {what}: {seconds:.2f} s a step.", flush=True)
            result = "not measured"
            if minutes:
                steps = max(1, round(60 * minutes / seconds))
                trainer = ClickTrainer(network, source, replace(config, steps=steps), args.out / "run", me)
                trainer.run()
                about = {
                    "version": "adclick-base-gpu", "preset": "base", **named, "network": asdict(sizes.network),
                    "long_side": sizes.long_side, "encoder": vocabulary.encoder if vocabulary else "none",
                }  # fmt: skip
                out = args.out / "adclick-base.safetensors"
                export(None, trainer.ema, out, about)
                ious, images = _mean_ious(Predictor(out, str(me.device)), args)
                result = f"after {steps} steps mIoU@1..5 of {images} images: " + " / ".join(
                    f"{100 * v:.1f}" for v in ious
                )
            yield Row(
                f"base behind {what}",
                str(me.device),
                memory.most(me.device),
                f"{seconds:.2f} s a step",
                result,
            )
            backbone.to("cpu")


def _config(sizes: Sizes) -> ClickTraining:
    """That of the command, with as many samples as are wanted."""
    close = Frame.of(1, 1, sizes.long_side * 2 // 3).height // 2
    return ClickTraining(
        steps=sizes.warm + sizes.timed, learning_rate=1e-4, weight_decay=0.05, ema=0.999,
        crops=((sizes.long_side // 2, sizes.samples or 4, 0.6), (close, sizes.samples or 8, 0.4)),
    )  # fmt: skip


def _seconds_a_step(
    network: BaseClickNetwork,
    source: LiveBatches,
    config: ClickTraining,
    sizes: Sizes,
    folder: Path,
    me: Worker,
) -> float:
    """With the batches drawn beside it, as in a training."""
    trainer = ClickTrainer(network, source, replace(config, steps=sizes.warm), folder, me)
    trainer.run()
    trainer.config = replace(config, steps=sizes.warm + sizes.timed)
    started = time.perf_counter()
    trainer.run()
    return (time.perf_counter() - started) / sizes.timed


def _mean_ious(predictor: Predictor, args: argparse.Namespace) -> tuple[np.ndarray, int]:
    """Mean IoU after each click in the middle of the largest error, over images, then products; and of how many."""
    products = []
    for good, defects in _products(args):
        bank = EncodedReferences(predictor, good)
        rows = []
        for pixels, mask, kind in defects:
            frame, prepared = Frame.of(*mask.shape, predictor.long_side), bank.prepare(pixels)
            told = predictor.words(builtin_prompts(kind))
            answer = partial(predict, predictor, prepared, frame, words=told)
            mask_of = partial(Prediction.mask, frame=frame)
            ious = [
                iou(mask_of(seen), mask) for _, seen in islice(simulate_clicks(mask, answer, mask_of), CLICKS)
            ]
            rows.append(ious + (CLICKS - len(ious)) * (ious[-1:] or [0.0]))
        products.append(rows)
    return np.mean([np.mean(rows, 0) for rows in products], 0), sum(len(rows) for rows in products)


def _products(args: argparse.Namespace) -> Iterator[tuple[list[Image], list[tuple[Image, Mask, str]]]]:
    """Good images and defects of the products to measure on; without any, of drawn ones."""
    for category in find_categories(args.dev):
        pairs = category.defects()
        chosen = np.unique(np.linspace(0, len(pairs) - 1, min(args.images, len(pairs))).round().astype(int))
        yield (
            [read_rgb(file) for file in category.good()[:10]],
            [(read_rgb(pairs[i][0]), read_mask(pairs[i][1]), pairs[i][0].parent.name) for i in chosen],
        )
    if not args.dev:
        for number in range(1000, 1001 if args.tiny else 1008):
            defects: list[Defect] = drawn(number)
            good, rng = defects[0].source.good(), np.random.default_rng(number)
            seen = [d.look(good, rng) for d in defects[: 1 if args.tiny else args.images]]
            yield good, [(s.pixels, s.mask, s.kind) for s in seen]
