"""``adclick evaluate-detectors``: anomaly detectors side by side on products in MVTec layout."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from model.commands.arguments import add_number_format, at_least_one, none_or_more
from model.metrics.detection import FIGURES

USUAL = ("residual", "packaged", "combination")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick evaluate-detectors``."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="DATA_DIR", help="folders with products in MVTec layout"
    )
    parser.add_argument(
        "--detectors",
        nargs="+",
        default=list(USUAL),
        metavar="DETECTOR",
        help="residual, patchcore, packaged, files that `adclick train detector` wrote, and combination: all others as "
        f"one (default: {' '.join(USUAL)})",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/detectors"),
        help="results and pictures; results found there are not measured again (default: %(default)s)",
    )
    parser.add_argument(
        "--limit",
        type=none_or_more,
        default=0,
        help="test images of a product with a defect, and as many good ones (default: all)",
    )
    parser.add_argument(
        "--pictures", type=none_or_more, default=0, help="images of a product to draw (default: none)"
    )
    parser.add_argument(
        "--size",
        type=at_least_one,
        default=256,
        help="longer side of the maps, pixels (default: %(default)s)",
    )
    add_number_format(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print the tables; returns the exit status."""
    from model.checkpoint.manifest import CheckpointError
    from model.commands.products import find_products
    from model.studies import detector_study, results

    chosen = tuple(dict.fromkeys(args.detectors))
    unknown = [n for n in chosen if n not in detector_study.NAMES and not Path(n).is_file()]
    if unknown:
        names = ", ".join(detector_study.NAMES)
        print(f"There is no detector and no file {unknown[0]!r}; the detectors are: {names}.")
        return 2
    categories = find_products(args.folders)
    if not categories:
        return 2
    setting = detector_study.Setting(chosen, args.limit, args.size, args.pictures, args.number_format)
    try:
        bench = detector_study.Bench(setting)
        for row in detector_study.run(categories, bench, args.out):
            print(f"{row['product']} {row['detector']}: pixel AP {100 * row['pixel_ap']:.1f}", flush=True)
    except (CheckpointError, ValueError) as error:
        print(error)
        return 2
    asked = [row._asdict() for row in bench.rows]
    products = {category.name for category in categories}
    rows = [
        row
        for row in results.read(args.out / detector_study.RESULTS)
        if row["product"] in products
        and (row["limit"], row["side"]) == (args.limit, args.size)
        and {"detector": row["detector"], "weights": row["weights"]} in asked
    ]
    print(tables(rows))
    return 0


def tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """The means over products of every figure, and pixel AP product by product, as Markdown tables, in percent.

    Only products that every detector has finished are counted, so that all means are of the same images.
    """
    detectors = list(dict.fromkeys(row["detector"] for row in rows))
    found = {(row["product"], row["detector"]): row for row in rows}
    products = sorted({p for p, _ in found if all((p, d) in found for d in detectors)})
    if not products:
        return "There is no product that every detector has finished."
    several = [p for p in products if found[p, detectors[0]]["references"] > 1]
    lines = []
    for chosen, what in ((products, ""), (several, ", more than one reference")):
        if not chosen or (what and len(several) == len(products)):
            continue
        lines += [
            f"| mean of {len(chosen)} products{what} | {' | '.join(FIGURES.values())} | ms |",
            "|---" * (len(FIGURES) + 2) + "|",
        ]
        for detector in detectors:
            own = [found[p, detector] for p in chosen]
            cells = [_mean([row[name] for row in own]) for name in FIGURES]
            lines.append(f"| {detector} | {' | '.join(cells)} | {fmean(row['ms'] for row in own):.0f} |")
        lines.append("")
    lines += [f"| pixel AP (references) | {' | '.join(detectors)} |", "|---" * (len(detectors) + 1) + "|"]
    for product in products:
        cells = [f"{100 * found[product, detector]['pixel_ap']:.1f}" for detector in detectors]
        references = found[product, detectors[0]]["references"]
        lines.append(f"| {product.split('/')[-1]} ({references}) | {' | '.join(cells)} |")
    opened = fmean(found[p, detectors[0]]["opened_ms"] for p in products)
    return "\n".join([*lines, "", f"Encoding and matching, which all share: {opened:.0f} ms an image."])


def _mean(shares: Sequence[float | None]) -> str:
    """In percent; "-" where one could not be measured."""
    known = [share for share in shares if share is not None]
    return f"{100 * fmean(known):.1f}" if len(known) == len(shares) else "-"
