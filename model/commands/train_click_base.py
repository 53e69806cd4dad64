"""``adclick train click --preset base``: the paper's sizes, on as many GPUs as ``torchrun`` is given.

    torchrun --nproc-per-node 8 -m adclick_backend train click DATA --preset base --backbone wide_resnet50_2.pth

Without ``torchrun`` the same command trains on one GPU, or on the processor where there is none. Every process draws
batches of its own; their gradients are averaged, and the first process writes state, curve and checkpoint.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace

import torch

from model.checkpoint.files import export, load_into
from model.commands.products import find_products
from model.features.backbones import WideResNet50
from model.features.encoding import Frame
from model.features.number_format import number_format
from model.features.published import convert_wide_resnet50, read_published
from model.interactive.base import BaseClickNetwork, BaseConfig
from model.matching.nearest import MatchingConfig
from model.training.distributed import worker
from model.training.interactive.batches import ClickTraining
from model.training.interactive.on_the_fly import Defect, LiveBatches, drawn, photographed
from model.training.interactive.temperature import fit_temperature
from model.training.interactive.trainer import ClickTrainer

SIZES = BaseConfig(words=0)
"""The paper's, without words: a click says where the defect is, and the click path of the server knows no type."""

LONG_SIDE = 512

HELD_BACK = 8
"""Drawn products that only the temperature is fitted on."""

TEMPERATURE_IMAGES = 120


def settings(args: argparse.Namespace) -> ClickTraining:
    """What differs from the small network's training: the paper's weight decay and running average, larger views.

    The paper's rate of 3e-5 belongs to a start from other categories' weights; from scratch it is higher here.
    """
    close = Frame.of(1, 1, LONG_SIDE * 2 // 3).height // 2
    return ClickTraining(
        steps=args.steps,
        seed=args.seed,
        learning_rate=args.learning_rate or 1e-4,
        weight_decay=0.05,
        ema=0.999,
        synthetic_share=args.synthetic_share,
        crops=((LONG_SIDE // 2, 4, 0.6), (close, 8, 0.4)),
    )


def run(args: argparse.Namespace) -> int:
    """Train, write the checkpoint; returns the exit status."""
    if args.backbone is None:
        print("The base preset needs --backbone, a file with the published wide_resnet50_2 weights.")
        return 2
    if args.start is not None:
        print(
            "--start goes on from a lite network; a base training goes on from its own state with --resume."
        )
        return 2
    categories = find_products(args.folders, args.exclude)
    if not categories:
        return 2
    defects = [
        defect
        for c in categories
        for defect in photographed(
            c,
            synthetic=args.synthetic,
            limit=args.limit,
            seed=args.seed,
            comparable=c.name not in args.without_references,
        )
    ]
    defects += [defect for number in range(args.drawn) for defect in drawn(number)]
    config, backbone = settings(args), WideResNet50()
    published = read_published(args.backbone, "WideResNet50-2")
    load_into(backbone, convert_wide_resnet50(published), args.backbone.name)
    torch.manual_seed(args.seed)
    network = BaseClickNetwork(SIZES)
    with worker() as me:
        backbone.eval().requires_grad_(False).to(me.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        format_ = number_format(args.number_format, str(me.device))
        if me.first:
            print(format_.sentence)
        source = LiveBatches(
            defects,
            backbone,
            network,
            LONG_SIDE,
            config,
            dict(args.weight),
            me.device,
            MatchingConfig(dtype=format_.dtype),
        )
        trainer = ClickTrainer(network, source, config, args.run, me, args.number_format)
        if args.resume and trainer.resume() and me.first:
            print(
                f"Going on at step {trainer.step} of {args.steps}, after {trainer.seconds / 60:.0f} minutes."
            )
        trainer.run()
    if me.first:
        _export(args, trainer, backbone, defects)
    return 0


def _export(
    args: argparse.Namespace, trainer: ClickTrainer, backbone: WideResNet50, defects: list[Defect]
) -> None:
    """Fit the temperature on products that nothing was trained on, and write the checkpoint."""
    others = [d for number in range(args.drawn, args.drawn + HELD_BACK) for d in drawn(number)]
    config = replace(trainer.config, crops=((LONG_SIDE // 2, 1, 1.0),))
    network, device = trainer.network, trainer.worker.device
    held = LiveBatches(
        others, backbone, network, LONG_SIDE, config, {}, device, MatchingConfig(dtype=trainer.format.dtype)
    )
    out = args.out or args.run / "adclick-base.safetensors"
    about = {
        "version": args.version or "adclick-base-1",
        "preset": "base",
        "backbone": "wide_resnet50",
        "network": asdict(SIZES),
        "long_side": LONG_SIDE,
        "temperature": fit_temperature(
            trainer.ema, lambda rng: held.batch(config, rng), count=TEMPERATURE_IMAGES
        ),
        "training": {
            "products": sorted({d.category for d in defects if not d.category.startswith("drawn/")}),
            "real": sum(d.real for d in defects),
            "synthetic_share": trainer.config.synthetic_share,
            "steps": trainer.step,
            "processes": trainer.worker.count,
            "minutes": round(trainer.seconds / 60, 1),
            "seed": args.seed,
            "number_format": trainer.format.name,
        },
    }
    export(backbone, trainer.ema, out, about)
    print(f"Wrote {out} after {trainer.step} steps.")
