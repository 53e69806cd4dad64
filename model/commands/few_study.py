"""``adclick study --few``: what generated defects are worth where few are labelled."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from model.commands import study_table
from model.datasets.mvtec import Category
from model.studies.few_study import ARMS, COMPARED_WITH, ONENIP_ALONE, Few, comparable
from model.studies.results import read


def run(args: argparse.Namespace, categories: Sequence[Category], names: Sequence[str]) -> int:
    """Measure and print the table; returns the exit status."""
    from model.checkpoint.manifest import CheckpointError
    from model.generation.anogen.generator import GeneratorError
    from model.generation.anogen.presets import load_generator
    from model.studies import few_study

    try:
        generator = load_generator(args.generator)
    except (CheckpointError, GeneratorError) as error:
        print(error)
        return 2
    few = Few(args.few, args.pictures, args.steps)
    out = args.out / "few.jsonl"
    for result in few_study.run(
        categories, out, args.splits, names, args.out / "few", generator, few, args.number_format
    ):
        print(
            f"{result['product']} {result['split']} {result['setting']}: AP {100 * result['ap']:.1f}, "
            f"{result['wall']:.0f} s",
            flush=True,
        )
        for sentence in result.get("refused", ()):
            print(f"  {sentence}", flush=True)
    chosen = {category.name for category in categories}
    found = [row for row in comparable(read(out), few, generator.name) if row["product"] in chosen]
    print(table(found, args.splits))
    return 0


def table(results: Sequence[dict[str, Any]], splits: int) -> str:
    """The means over products and splits as a Markdown table, in percent; its last column is what is gained.

    That is the mean difference in pixel AP to the same product and split of `COMPARED_WITH`, for OneNIP to OneNIP
    alone, with its standard error over products and splits. Only what every shown arm has finished counts.

    Args:
        results: of :func:`model.studies.few_study.run`, under the same conditions.
        splits: of them, the first.
    """
    results = [row for row in results if row["split"] < splits]
    lines = study_table.table(results, list(ARMS)).splitlines()
    shown = [name for name in ARMS if any(row["setting"] == name for row in results)]
    by_run = {(row["setting"], row["product"], row["split"]): row["ap"] for row in results}
    runs = {(row["product"], row["split"]) for row in results}
    common = [run for run in sorted(runs) if all((name, *run) in by_run for name in shown)]
    lines[0] += " AP gained |"
    lines[1] += "---|"
    for i, name in enumerate(shown, 2):
        other = ONENIP_ALONE if ARMS[name].onenip else COMPARED_WITH
        if name == other or other not in shown or not common:
            lines[i] += " - |"
            continue
        gains = [100 * (by_run[(name, *run)] - by_run[(other, *run)]) for run in common]
        lines[i] += f" {_with_error(gains)} |"
    return "\n".join(lines)


def _with_error(gains: Sequence[float]) -> str:
    """The mean, and its standard error where there are two or more."""
    error = f" ± {stdev(gains) / len(gains) ** 0.5:.1f}" if len(gains) > 1 else ""
    return f"{fmean(gains):+.1f}{error}"
