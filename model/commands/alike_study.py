"""``adclick alike-study``: how many of the parts that look alike one click finds, and a second one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from model.commands.arguments import add_number_format, at_least_one

if TYPE_CHECKING:
    from model.interactive.predictor import Predictor
    from model.studies.alike_study import Image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick alike-study``."""
    parser.add_argument(
        "folders",
        type=Path,
        nargs="*",
        metavar="DATA_DIR",
        help="folders with products in MVTec layout; without any, drawn products with 5 to 20 equal pits",
    )
    parser.add_argument(
        "--products", type=at_least_one, default=14, help="that are drawn (default: %(default)s)"
    )
    parser.add_argument(
        "--images", type=at_least_one, default=2, help="of each product (default: %(default)s)"
    )
    parser.add_argument(
        "--fewest", type=at_least_one, default=2, help="parts of a true mask (default: %(default)s)"
    )
    parser.add_argument(
        "--most", type=at_least_one, default=20, help="parts of a true mask (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=at_least_one, default=7, help="of designs, pits and clicks (default: %(default)s)"
    )
    parser.add_argument("--checkpoint", type=Path, help="weights of the click network (default: packaged)")
    add_number_format(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print the table; returns the exit status."""
    from model.commands.products import find_products
    from model.interactive.predictor import Predictor
    from model.studies.alike_study import drawn_images, measure, photographed_images

    found = find_products(args.folders) if args.folders else []
    if args.folders and not found:
        return 2
    predictor = Predictor(args.checkpoint, asked=args.number_format)

    def images(predictor: Predictor) -> Iterator[Image]:
        if not args.folders:
            yield from drawn_images(predictor, args.products, args.images, args.seed)
        for category in found:
            yield from photographed_images(
                predictor, category, args.fewest, args.most, args.images, args.seed
            )

    rows: list[dict[str, Any]] = []
    for image in images(predictor):
        measured = measure(predictor, image, args.seed)
        rows += measured
        shown = ", ".join(f"{row['matched@0.5']} of {row['found']} right" for row in measured)
        print(f"{image.product} {image.name}: {len(image.parts)} parts; {shown}", flush=True)
    if not rows:
        print(f"No image has a mask with {args.fewest} to {args.most} parts.")
        return 2
    print(table(rows))
    return 0


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Recall and precision of the parts after one and two clicks, in percent, as a Markdown table."""
    from model.studies.alike_study import OVERLAPS, summed

    heads = [f"{name} at IoU {least}" for least in OVERLAPS for name in ("recall", "precision")]
    lines = [
        f"| product | images | parts | clicks | {' | '.join(heads)} | s |",
        f"|---|{'---|' * (4 + len(heads))}",
    ]
    for product in dict.fromkeys(row["product"] for row in rows):
        for clicks in (1, 2):
            chosen = [row for row in rows if row["product"] == product and row["clicks"] == clicks]
            figures = [f"{100 * value:.1f}" for least in OVERLAPS for value in summed(chosen, clicks, least)]
            seconds = median(row["seconds"] for row in chosen)
            parts = sum(row["true"] for row in chosen)
            lines.append(
                f"| {product} | {len(chosen)} | {parts} | {clicks} | {' | '.join(figures)} | {seconds:.2f} |"
            )
    return "\n".join(lines)
