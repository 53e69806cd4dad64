"""``adclick train generator``: the small diffusion model that paints defects, of folders of products.

It learns across products, from real defects and from drawn ones, on two processor cores in hours and on a GPU in
minutes. A command that was interrupted goes on when it is called again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from model.commands.arguments import at_least_one, seed
from model.commands.products import find_products
from model.datasets.mvtec import Category, read_mask, read_rgb
from model.generation.anogen.checkpoint import write_painter
from model.generation.anogen.examples import Example
from model.generation.products import Product
from model.training.generation.crops import DefectCrops, drawn_windows, real_windows, store
from model.training.generation.trainer import GeneratorTrainer, GeneratorTraining

DRAWN_PRODUCTS = 60
MOST_IMAGES = 160  # of a type; more would not be drawn more often


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick train generator``."""
    parser.add_argument("folders", type=Path, nargs="+", help="folders with products in MVTec layout")
    parser.add_argument(
        "--exclude", nargs="*", default=[], metavar="SET/PRODUCT", help="products to leave out"
    )
    parser.add_argument(
        "--run",
        type=Path,
        default=Path("runs/generator"),
        help="crops, state, checkpoint (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, help="checkpoint to write (default: in RUN)")
    parser.add_argument("--version", default="adclick-anogen-1", help="its name (default: %(default)s)")
    parser.add_argument(
        "--drawn", type=at_least_one, default=4000, help="drawn defects (default: %(default)s)"
    )
    parser.add_argument("--steps", type=at_least_one, default=GeneratorTraining.steps)
    parser.add_argument("--batch", type=at_least_one, default=GeneratorTraining.batch, help="crops a step")
    parser.add_argument("--seed", type=seed, default=0)


def run(args: argparse.Namespace) -> int:
    """Train and write the checkpoint; returns the exit status."""
    categories = find_products(args.folders, args.exclude)
    if not categories:
        return 2
    folder = args.run / "crops"
    if not (folder / "origins.json").exists():
        rng = np.random.default_rng(args.seed)
        store(
            folder,
            chain(real_windows(_labelled(categories)), drawn_windows(_good(categories), args.drawn, rng)),
        )
    crops = DefectCrops(folder)
    config = GeneratorTraining(steps=args.steps, batch=args.batch, seed=args.seed)
    trainer = GeneratorTrainer(
        crops, config, args.run / "last.safetensors", "cuda" if torch.cuda.is_available() else "cpu"
    )
    with tqdm(total=args.steps, initial=trainer.step, desc="training", mininterval=5) as bar:

        def show(step: int, loss: float) -> None:
            bar.set_postfix({"loss": f"{loss:.4f}"}, refresh=False)
            bar.update(step - bar.n)

        trainer.run(show)
    out = args.out or args.run / f"{args.version}.safetensors"
    real = {origin.image for origin in crops.origins if not origin.drawn}
    about = {
        "settings": asdict(config),
        "steps": trainer.step,
        "seconds": round(trainer.seconds),
        "real_images": len(real),
        "drawn_defects": sum(origin.drawn for origin in crops.origins),
        "sets": sorted(category.name for category in categories),
    }
    write_painter(out, trainer.average, args.version, about)
    print(f"Wrote {out}.")
    return 0


def _labelled(categories: Sequence[Category]) -> Iterator[tuple[str, str, Example]]:
    for category in categories:
        pairs = category.defects()
        for kind in sorted({image.parent.name for image, _ in pairs}):
            own = [pair for pair in pairs if pair[0].parent.name == kind]
            for image, mask in tqdm(own[:MOST_IMAGES], desc=f"{category.name}/{kind}"):
                yield (
                    f"{category.name}/{kind}",
                    f"{category.name}/{kind}/{image.stem}",
                    Example(read_rgb(image), read_mask(mask)),
                )


def _good(categories: Sequence[Category]) -> list[NDArray[np.uint8]]:
    """Good images to draw on: some of every product, and of products that never existed."""
    found = [read_rgb(path) for category in categories for path in category.good()[:30]]
    rng = np.random.default_rng(0)
    return found + [Product(number).image(rng) for number in range(DRAWN_PRODUCTS) for _ in range(3)]
