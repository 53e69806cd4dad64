"""``adclick train segmentation``: the weights that every project's ADClick-Seg starts from."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from model.checkpoint.files import part_of, read_weights
from model.checkpoint.manifest import BACKBONES
from model.commands.arguments import add_behind, add_number_format, at_least_one, none_or_more, seed
from model.commands.products import find_products
from model.commands.run_folder import SAMPLES, taken
from model.datasets.mvtec import Category, read_mask, read_rgb
from model.interactive.predictor import Predictor
from model.labels.labelled import DEFECT, LabelledImage, painted
from model.language.encoders import text_encoder
from model.language.prompts import builtin_prompts
from model.language.vocabulary import Vocabulary
from model.segmentation.checkpoint import write_seg
from model.segmentation.inputs import views_behind
from model.segmentation.network import ADClickSeg, SegConfig, start_from_clicks
from model.training.segmentation.batches import SegSampler
from model.training.segmentation.samples import SampleWriter, SegSample
from model.training.segmentation.trainer import SegTrainer, SegTraining

OFFSETS = {"vit": 0.3, "lite": 0.0}
"""Logits at which maps are cut, by backbone: round a striking defect a transformer sees more than what is wrong."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick train segmentation``."""
    parser.add_argument("folders", type=Path, nargs="+", help="folders with products in MVTec layout")
    parser.add_argument(
        "--run", type=Path, default=Path("runs/segmentation"), help="samples and state (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, help="checkpoint to write (default: RUN/, with the name of the packaged one)"
    )
    parser.add_argument(
        "--version", help="name that predictions carry (default: adclick-vit-seg-1, or adclick-lite-seg-3)"
    )
    parser.add_argument(
        "--start", type=Path, help="click checkpoint whose U-Net it starts from (default: the packaged one)"
    )
    parser.add_argument("--steps", type=at_least_one, default=1500, help="of training (default: %(default)s)")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument(
        "--limit",
        type=none_or_more,
        default=36,
        help="defect images of a product at most (default: %(default)s)",
    )
    parser.add_argument(
        "--references",
        type=none_or_more,
        default=24,
        help="good images of a product at most (default: %(default)s)",
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
    add_behind(parser)
    add_number_format(parser)


def run(args: argparse.Namespace) -> int:
    """Build the samples, train, write the checkpoint; returns the exit status. An interrupted run goes on."""
    categories = find_products(args.folders, args.exclude)
    if not categories:
        return 2
    if why := taken(args.run, args.behind):
        print(why)
        return 2
    packaged = BACKBONES[args.behind]
    predictor = Predictor(packaged.click, asked=args.number_format)
    print(predictor.format.sentence)
    samples = build(categories, args, predictor)
    # No views: what is learned here must hold for products that were never seen.
    config = SegTraining(
        steps=args.steps,
        seed=args.seed,
        views=False,
        trust=20.0,
        clicked_share=0.15,
        ema=0.995,
        shares=(("labelled", 0.6), ("synthetic", 0.2), ("normal", 0.2)),
        crops=((96, 4, 0.7), (256, 1, 0.3)),
        patience=1.0,
    )
    types = sorted({t for s in samples for t in s.kinds} | {DEFECT})
    vocabulary = Vocabulary(text_encoder(), {t: builtin_prompts(t) for t in types})
    views = views_behind(predictor.backbone_id.name)
    network = ADClickSeg(SegConfig(words=vocabulary.width, views=views))
    start_from_clicks(network, part_of(read_weights(args.start or packaged.click), "network"))
    sampler = SegSampler(samples, dict(config.shares), config.others)
    trainer = SegTrainer(network, sampler, vocabulary, config, args.run / "last.safetensors")
    trainer.run(
        lambda share, loss: print(f"{100 * share:3.0f} %  loss {loss:.4f}", flush=True), lambda: False
    )
    # On the products that it learned from, the U-Net came to need the residual less than it will on others.
    trainer.ema.skip.trust.zero_()
    out = args.out or args.run / packaged.seg.name
    version = args.version or {"vit": "adclick-vit-seg-1", "lite": "adclick-lite-seg-3"}[args.behind]
    about = {
        "products": sorted({s.product for s in samples}),
        "samples": {source: sum(s.source == source for s in samples) for source in sampler.sources},
        "steps": trainer.step,
        "minutes": round(trainer.seconds / 60, 1),
        "settings": asdict(config),
        "number_format": predictor.format.name,
    }
    behind = predictor.backbone_id
    write_seg(out, trainer.ema, vocabulary, [DEFECT], [OFFSETS[args.behind]], version, about, behind=behind)
    print(f"Wrote {out} after {trainer.step} steps.")
    return 0


def build(categories: Sequence[Category], args: argparse.Namespace, predictor: Predictor) -> list[SegSample]:
    """The samples of all products: their defects, and normal and synthetic ones made of their good images."""
    rng = np.random.default_rng(args.seed)
    samples: list[SegSample] = []
    for category in tqdm(categories, desc="products"):
        good = [] if category.name in args.without_references else category.good()
        chosen = rng.permutation(len(good))[: args.references]
        references = [read_rgb(good[i]) for i in chosen]
        writer = SampleWriter(
            args.run / SAMPLES / category.name, predictor, category.name, references, args.seed
        )
        pairs = category.defects()
        for i in tqdm(rng.permutation(len(pairs))[: args.limit], desc=category.name, leave=False):
            image, mask = pairs[i]
            name = hashlib.sha256(image.read_bytes()).hexdigest()
            label = painted(read_mask(mask))
            samples.append(
                writer.labelled(
                    LabelledImage(name, partial(read_rgb, image), {image.parent.name: label}, category.name)
                )
            )
        if len(references) > 1:
            samples += [writer.normal(i) for i in range(len(references))]
            samples += [writer.synthetic(i, 0) for i in range(len(references))]
    return samples
