"""The generators of defects: the training of the small one, and learning and painting with it and a latent diffusion.

Without a folder of a published latent diffusion model, one of the size of Stable Diffusion 1 and random weights is
measured: for memory and speed alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from model.datasets.mvtec import find_categories, read_mask, read_rgb
from model.generation.anogen.checkpoint import write_painter
from model.generation.anogen.examples import Example
from model.generation.anogen.generator import Generator
from model.generation.anogen.ldm import LdmGenerator
from model.generation.anogen.network import DenoiserConfig
from model.generation.anogen.small import SmallGenerator
from model.generation.anogen.window import Box
from model.generation.products import Product
from model.generation.synthesis import add_defect
from model.training.generation.crops import DefectCrops, drawn_windows, real_windows, store
from model.training.generation.trainer import GeneratorTrainer, GeneratorTraining
from tests.gpu import memory
from tests.gpu.table import Row
from tests.helpers.pipeline import TINY, PipelineSizes, write_pipeline

STABLE = PipelineSizes(
    latents=64,
    denoiser=(320, 640, 1280, 1280),
    blocks=2,
    groups=32,
    heads=8,
    autoencoder=(128, 256, 512, 512),
    words=768,
    layers=12,
)
"""Stable Diffusion 1, as its configuration is published."""


def measure(args: argparse.Namespace) -> Iterator[Row]:
    """One row for the training, and one for each generator."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    row, weights = _trained(args, device)
    yield row
    yield _used("the small generator", SmallGenerator(weights, str(device)), device, args.tiny)
    if find_spec("diffusers") is None or find_spec("transformers") is None:
        print("A latent diffusion model is not measured: diffusers or transformers is not installed.")
        return
    what, folder = f"latent diffusion {args.ldm}", args.ldm
    if folder is None:
        what, folder = "latent diffusion of random weights", args.out / "pipeline"
        if not folder.exists():
            write_pipeline(folder, sizes=TINY if args.tiny else STABLE)
    few = {"learning_steps": 2, "steps": 2} if args.tiny else {}
    yield _used(what, LdmGenerator(str(folder), str(device), **few), device, args.tiny)


def _trained(args: argparse.Namespace, device: torch.device) -> tuple[Row, Path]:
    """The small generator trained for some minutes, and its weights."""
    drawn, warm, timed = (8, 1, 2) if args.tiny else (4000, 20, 100)
    rng, folder = np.random.default_rng(0), args.out / "crops"
    good = [Product(number).image(rng) for number in range(1 if args.tiny else 60)]
    store(folder, chain(real_windows(_labelled(args)), drawn_windows(good, drawn, rng)))
    memory.reset()
    config = replace(GeneratorTraining(steps=warm), **({"batch": 2} if args.tiny else {}))
    sizes = DenoiserConfig((8, 8, 8)) if args.tiny else None
    state = args.out / "generator.safetensors"
    trainer = GeneratorTrainer(DefectCrops(folder), config, state, str(device), sizes)
    losses: list[float] = []

    def run(steps: int) -> float:
        trainer.config = replace(config, steps=steps)
        started = time.perf_counter()
        trainer.run(lambda step, loss: losses.append(loss))
        return time.perf_counter() - started

    run(trainer.step + warm)
    seconds = run(trainer.step + timed) / timed
    print(f"the small generator: {seconds:.3f} s a step of {config.batch} crops.", flush=True)
    run(trainer.step + max(1, round(60 * args.minutes / seconds)))
    weights = args.out / "adclick-anogen.safetensors"
    write_painter(weights, trainer.average, "adclick-anogen-gpu", {"settings": asdict(config)})
    row = Row(
        "training of the small generator",
        str(device),
        memory.most(device),
        f"{seconds:.3f} s a step of {config.batch} crops",
        f"loss {losses[-1]:.4f} after {trainer.step} steps",
    )
    return row, weights


def _labelled(args: argparse.Namespace) -> Iterator[tuple[str, str, Example]]:
    for category in find_categories(args.data):
        for image, mask in category.defects():
            kind = f"{category.name}/{image.parent.name}"
            yield kind, f"{kind}/{image.stem}", Example(read_rgb(image), read_mask(mask))


def _used(what: str, generator: Generator, device: torch.device, tiny: bool) -> Row:
    """A type learned from three drawn defects, and painted; outside of the box nothing may change."""
    memory.reset()
    product, rng = Product(0), np.random.default_rng(0)
    examples = [Example(*add_defect(product.image(rng), rng)[:2]) for _ in range(3)]
    learned = generator.learn(examples)
    images, found, seconds = 2 if tiny else 12, 0, []
    for seed in range(images):
        good = product.image(rng)
        height, width = good.shape[0], good.shape[1]
        box = Box(width // 3, height // 3, width // 2, height // 2)
        started = time.perf_counter()
        painted = generator.paint(good, box, learned, seed)
        seconds.append(time.perf_counter() - started)
        if painted is not None:
            outside = ~box.mask((height, width))
            if not np.array_equal(painted.pixels[outside], good[outside]):
                raise SystemExit(f"{what}: the image was changed outside of the box.")
            found += 1
    return Row(
        f"{what}: learning and painting",
        str(device),
        memory.most(device),
        f"a type in {learned.seconds:.1f} s ({learned.steps} steps), an image in {np.median(seconds):.2f} s",
        f"loss {learned.loss:.3f}; {found} of {images} boxes painted",
    )
