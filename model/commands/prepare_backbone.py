"""``adclick prepare-backbone``: a network of timm with the click network that ships, as one file to serve."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from adclick_runtime.frame import to_working_frame
from model.checkpoint.files import build, export, part_of, read_weights
from model.checkpoint.manifest import PACKAGED, TIMM, CheckpointError, read_manifest
from model.commands.arguments import at_least_one
from model.features.loading import load_backbone
from model.features.timm_backbone import TimmBackbone
from model.features.timm_networks import check_sizes
from model.generation.products import Product
from model.interactive import presets
from model.interactive.network import ClickNetwork
from model.training.interactive.batches import ClickTraining
from model.training.interactive.on_the_fly import LiveBatches, drawn
from model.training.interactive.temperature import fit_temperature

PROBE = 96
"""Side of an image that a network must take, besides the one that it was trained on, in pixels."""

HELD_BACK = range(1000, 1008)
"""Drawn products that nothing was trained on: the temperature is fitted on them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick prepare-backbone``."""
    parser.add_argument(
        "backbone", metavar="timm:NAME", help="for example timm:vit_small_patch14_dinov2.lvd142m"
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write, NAME.safetensors")
    parser.add_argument(
        "--pretrained", type=Path, help="file with the weights, as timm knows them (default: fetch them)"
    )
    parser.add_argument(
        "--drawn",
        type=at_least_one,
        default=24,
        help="drawn products to find directions on (default: %(default)s)",
    )
    parser.add_argument(
        "--images", type=at_least_one, default=40, help="to fit the temperature on (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Take the weights, fit projection and temperature, write the file; returns the exit status."""
    name = args.backbone.removeprefix(TIMM)
    if name == args.backbone:
        print(f"There is no backbone {name!r} to prepare: name one as timm:NAME, timm:resnet18 for example.")
        return 2
    if args.out.suffix != ".safetensors":
        print(f"The file is {args.out}; its name must end in .safetensors.")
        return 2
    try:
        manifest = read_manifest(PACKAGED)
        tensors = read_weights(PACKAGED, manifest)
        usual = load_backbone(manifest, tensors, PACKAGED.name)
        backbone = TimmBackbone(name, args.pretrained or "hub").requires_grad_(False).eval()
        backbone.fine.load_state_dict(usual.fine.state_dict())  # type: ignore[union-attr]
        check_sizes(backbone, name, PROBE)
        network = build(
            lambda: presets.new(manifest, PACKAGED.name), part_of(tensors, "network"), PACKAGED.name
        )
    except CheckpointError as error:
        print(error)
        return 2
    long_side = int(manifest["long_side"])
    kept = backbone.fit_projection(_images(args.drawn, long_side))
    print(f"The projection to {backbone.channels[16]} channels keeps {kept:.0%} of the variance.")
    about = {
        "version": f"{manifest['version']}-{name}",
        "preset": manifest["preset"],
        "backbone": f"{TIMM}{name}",
        "network": asdict(network.config),  # type: ignore[call-overload]
        "long_side": long_side,
        "temperature": _temperature(network.eval(), backbone, long_side, args.images),
        "training": {"click network": manifest["sha256"], "licence of the backbone": backbone.licence},
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    export(backbone, network, args.out, about)
    print(
        f"Wrote {args.out}; the licence of the weights is {backbone.licence}. Serve it with "
        f"ADCLICK_BACKBONE={args.out}."
    )
    return 0


def _images(count: int, long_side: int) -> Iterator[Tensor]:
    """An image of each of some drawn products, (1, 3, H, W) in [0, 255]."""
    for number in tqdm(range(count), desc="directions"):
        pixels = Product(number).image(np.random.default_rng(number))
        yield torch.from_numpy(to_working_frame(pixels, long_side)).permute(2, 0, 1)[None].float()


def _temperature(network: ClickNetwork, backbone: TimmBackbone, long_side: int, count: int) -> float:
    """On whole images of drawn products, as that of the packaged network was fitted."""
    defects = [defect for number in HELD_BACK for defect in drawn(number)]
    config = ClickTraining(synthetic_share=1.0, crops=((long_side // 2, 1, 1.0),))
    source = LiveBatches(defects, backbone, network, long_side, config, {}, torch.device("cpu"))
    return fit_temperature(network, lambda rng: source.batch(config, rng), count=count)
