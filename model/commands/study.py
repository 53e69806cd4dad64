"""``adclick study``: what labels of a few clicks are worth, what each part of the method adds, what clicks learn."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from model.commands import few_study
from model.commands.arguments import add_number_format, at_least_one
from model.commands.study_table import table
from model.datasets.mvtec import Category
from model.generation.anogen.presets import SMALL
from model.studies import label_study
from model.studies.few_study import ARMS
from model.studies.results import read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick study``."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="DATA_DIR", help="folders with products in MVTec layout"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/study"),
        help="results and prepared images; results found there are not measured again (default: %(default)s)",
    )
    parser.add_argument(
        "--splits", type=at_least_one, default=3, help="divisions of a product (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=at_least_one, default=150, help="of training a run (default: %(default)s)"
    )
    parser.add_argument("--products", nargs="*", help="names of products (default: all with 8 good images)")
    parser.add_argument(
        "--settings", nargs="*", metavar="SETTING", help="what to compare (default: everything)"
    )
    parser.add_argument(
        "--clicks",
        action="store_true",
        help="measure how much better clicks are answered once the click network was adapted to each product, instead",
    )
    parser.add_argument(
        "--few",
        type=at_least_one,
        metavar="N",
        help="measure what generated, drawn and pasted defects add to N labelled images of each type, instead",
    )
    parser.add_argument(
        "--pictures",
        type=at_least_one,
        default=16,
        help="with --few: synthetic defects of each source for each type (default: %(default)s)",
    )
    parser.add_argument(
        "--generator",
        default=SMALL,
        help="with --few: what generates: small, weights of it, or the folder or hub name of a latent diffusion model "
        "(default: %(default)s)",
    )
    add_number_format(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print the tables; returns the exit status."""
    from model.commands.products import find_products

    known = [*label_study.SETTINGS, label_study.UNTRAINED, label_study.PATCHCORE]
    if args.few:
        known = list(ARMS)
    names = args.settings or known
    if unknown := [n for n in names if n not in known]:
        print(f"There is no setting {unknown[0]!r}; there are: {', '.join(known)}.")
        return 2
    found = find_products(args.folders)
    if not found:
        return 2
    categories = [c for c in found if len(c.good()) >= 8]
    if args.products:
        order = {name: i for i, name in enumerate(args.products)}
        categories = sorted((c for c in categories if c.root.name in order), key=lambda c: order[c.root.name])
    if not categories:
        print("No product with at least eight defect-free images was found in these folders.")
        return 2
    if args.few:
        return few_study.run(args, categories, names)
    if args.clicks:
        return _run_clicks(args, categories)
    out = args.out / "results.jsonl"
    samples, asked = args.out / "samples", args.number_format
    for result in label_study.run(categories, out, args.splits, args.steps, names, samples, asked):
        print(
            f"{result['product']} {result['split']} {result['setting']}: AP {100 * result['ap']:.1f}",
            flush=True,
        )
    print(table(read(out), known))
    return 0


def _run_clicks(args: argparse.Namespace, categories: Sequence[Category]) -> int:
    """Measure what clicks learn and print the table; returns the exit status."""
    from model.studies import click_study

    results = []
    for result in click_study.run(
        categories, args.out / "clicks.jsonl", args.splits, asked=args.number_format
    ):
        results.append(result)
        shown = " / ".join(f"{100 * result[str(n)]:.1f}" for n in click_study.SHOWN)
        print(f"{result['product']} {result['split']} {result['setting']}: {shown}", flush=True)
    print(click_table(results))
    return 0


def click_table(results: Sequence[dict[str, Any]]) -> str:
    """The mean IoU after 1, 2, 3 and 5 clicks of each product, and what was gained, as a Markdown table, in percent."""
    from model.studies.click_study import BEFORE, LABELLED, SHOWN, SYNTHETIC

    lines = [f"| IoU after 1 / 2 / 3 / 5 clicks | {BEFORE} | {SYNTHETIC} | {LABELLED} |", "|---|---|---|---|"]
    products = sorted({r["product"] for r in results})
    for name, chosen in [
        *((p.split("/")[-1], {p}) for p in products),
        (f"all {len(products)}", set(products)),
    ]:
        means = {
            setting: [
                100 * fmean(r[str(n)] for r in results if r["setting"] == setting and r["product"] in chosen)
                for n in SHOWN
            ]
            for setting in (BEFORE, SYNTHETIC, LABELLED)
        }
        cells = [" / ".join(f"{value:.1f}" for value in means[BEFORE])]
        for setting in (SYNTHETIC, LABELLED):
            gains = zip(means[setting], means[BEFORE], strict=True)
            cells.append(" / ".join(f"{after - before:+.1f}" for after, before in gains))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
