"""``adclick train click --preset base``: the paper's sizes, on as many GPUs as ``torchrun`` is given.

    torchrun --nproc-per-node 8 -m -- adclick_backend train click DATA --preset base --backbone wide_resnet50_2.pth

Without ``torchrun`` the same command trains on one GPU, or on the processor where there is none. Every process draws
batches of its own; their gradients are averaged, and the first process writes state, curve and checkpoint.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn

from adclick_runtime.frame import Frame
from model.checkpoint.files import export, load_into
from model.checkpoint.manifest import CheckpointError
from model.commands.products import find_products
from model.features.backbones import WideResNet50
from model.features.loading import load_shared
from model.features.number_format import number_format
from model.features.published import convert_wide_resnet50, read_published
from model.interactive.base import BaseClickNetwork, BaseConfig
from model.language.encoders import WIDTH
from model.language.vocabulary import builtin_vocabulary
from model.matching.nearest import MatchingConfig
from model.training.distributed import worker
from model.training.interactive.batches import ClickTraining
from model.training.interactive.on_the_fly import Defect, LiveBatches, drawn, kinds_of, photographed
from model.training.interactive.temperature import fit_temperature
from model.training.interactive.trainer import ClickTrainer

SIZES = BaseConfig(words=WIDTH)
"""The paper's, but for the width of the words' states, which is that of the text encoder here."""

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
    if args.start is not None:
        print(
            "--start goes on from a lite network; a base training goes on from its own state with --resume."
        )
        return 2
    categories = find_products(args.folders, args.exclude)
    if not categories:
        return 2
    try:
        backbone, named = backbone_of(args.backbone)
    except CheckpointError as error:
        print(f"{error} Name a file with the published wide_resnet50_2 weights with --backbone.")
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
    config, vocabulary = settings(args), builtin_vocabulary(kinds_of(categories)) if SIZES.words else None
    torch.manual_seed(args.seed)
    network = BaseClickNetwork(SIZES)
    with worker() as me:
        backbone.eval().requires_grad_(False).to(me.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        format_ = number_format(args.number_format, str(me.device))
        if me.first:
            print(format_.sentence)
        source = LiveBatches(
            defects,
            backbone,  # type: ignore[arg-type]
            network,
            LONG_SIDE,
            config,
            dict(args.weight),
            me.device,
            MatchingConfig(dtype=format_.dtype),
            vocabulary,
        )
        trainer = ClickTrainer(network, source, config, args.run, me, args.number_format)
        if args.resume and trainer.resume() and me.first:
            print(
                f"Going on at step {trainer.step} of {args.steps}, after {trainer.seconds / 60:.0f} minutes."
            )
        trainer.run()
    if me.first:
        _export(args, trainer, source, backbone, named, defects)
    return 0


def backbone_of(published: Path | None) -> tuple[nn.Module, dict[str, str]]:
    """The frozen backbone, and how the manifest names it.

    Args:
        published: a file with the weights of ``wide_resnet50_2``; None: the vision transformer that ships.

    Raises:
        CheckpointError: its file is not there, or of another network.
    """
    if published is None:
        return load_shared("lite0_vit")
    backbone = WideResNet50()
    load_into(backbone, convert_wide_resnet50(read_published(published, "WideResNet50-2")), published.name)
    return backbone, {"backbone": "wide_resnet50"}


def _export(
    args: argparse.Namespace,
    trainer: ClickTrainer,
    source: LiveBatches,
    backbone: nn.Module,
    named: dict[str, str],
    defects: list[Defect],
) -> None:
    """Fit the temperature on products that nothing was trained on, and write the checkpoint."""
    others = [d for number in range(args.drawn, args.drawn + HELD_BACK) for d in drawn(number)]
    config = replace(trainer.config, crops=((LONG_SIDE // 2, 1, 1.0),))
    held = LiveBatches(
        others,
        source.backbone,
        source.network,
        LONG_SIDE,
        config,
        {},
        source.device,
        source.matching,
        source.vocabulary,
    )
    out = args.out or args.run / "adclick-base.safetensors"
    about = {
        "version": args.version or "adclick-base-1",
        "preset": "base",
        **named,
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
    if source.vocabulary is not None:
        about["encoder"] = source.vocabulary.encoder
    export(None if "backbone_sha256" in named else backbone, trainer.ema, out, about)
    print(f"Wrote {out} after {trainer.step} steps.")
