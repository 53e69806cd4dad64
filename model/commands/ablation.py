"""``adclick ablation``: short trainings of the click network, each without something, measured on other products."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model.commands.arguments import add_number_format, at_least_one, seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick ablation``."""
    parser.add_argument(
        "run", type=Path, help="folder of a run of `adclick train click`: its samples, and their backbone"
    )
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="DATA_DIR", help="products in MVTec layout to measure on"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/ablation"),
        help="results; what is found there is not measured again (default: %(default)s)",
    )
    parser.add_argument(
        "--steps", type=at_least_one, default=300, help="of each training (default: %(default)s)"
    )
    parser.add_argument("--seeds", type=seed, nargs="+", default=[0, 1])
    parser.add_argument(
        "--limit", type=at_least_one, default=8, help="images of a product (default: %(default)s)"
    )
    parser.add_argument("--variants", nargs="*", metavar="VARIANT", help="what to leave out (default: each)")
    parser.add_argument(
        "--stated-licences", nargs="*", default=[], metavar="SET", help="sets whose licence is stated"
    )
    add_number_format(parser)


def run(args: argparse.Namespace) -> int:
    """Train, measure and print the table; returns the exit status."""
    from model.checkpoint.manifest import BACKBONES
    from model.commands.products import find_products
    from model.commands.run_folder import SAMPLES, seen_with
    from model.interactive.predictor import Predictor
    from model.studies import ablation
    from model.training.interactive.batches import ClickTraining
    from model.training.interactive.samples import find_samples

    names = args.variants or list(ablation.VARIANTS)
    if unknown := [n for n in names if n not in ablation.VARIANTS]:
        print(f"There is no variant {unknown[0]!r}; there are: {', '.join(ablation.VARIANTS)}.")
        return 2
    samples = list(find_samples(args.run / SAMPLES))
    if not samples:
        print(f"{args.run} holds no samples of a training of the click network.")
        return 2
    if (behind := seen_with(args.run)) not in BACKBONES:
        print(f"The samples of {args.run} were seen with {behind!r}, which is no packaged backbone.")
        return 2
    categories = find_products(args.folders)
    if not categories:
        return 2
    predictor = Predictor(BACKBONES[behind].click, asked=args.number_format)
    images = ablation.open_images(predictor, categories, args.limit)
    clean, config = frozenset({"drawn", *args.stated_licences}), ClickTraining(steps=args.steps)
    for row in ablation.run(predictor, names, args.seeds, samples, clean, images, config, args.out):
        print(f"{row['variant']}, seed {row['seed']}: {row['ious']}", flush=True)
    print(table(ablation.read(args.out)))
    return 0


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Means over seeds as a Markdown table, with half the range of the seeds after five clicks."""
    lines = [
        "| | seeds | mIoU@1 | mIoU@2 | mIoU@3 | mIoU@5 | ± |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["variant"] for row in rows):
        ious = 100 * np.array([row["ious"] for row in rows if row["variant"] == name])
        mean, half = ious.mean(0)[[0, 1, 2, 4]], np.ptp(ious[:, 4]) / 2
        lines.append(f"| {name} | {len(ious)} | {' | '.join(f'{m:.1f}' for m in mean)} | {half:.1f} |")
    return "\n".join(lines)
