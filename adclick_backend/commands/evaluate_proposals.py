"""``adclick evaluate-proposals``: what masks before the first click are worth, before anything was trained."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tqdm import tqdm

from model.commands.arguments import at_least_one, none_or_more

RESULTS = "results.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick evaluate-proposals``."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="DATA_DIR", help="folders with products in MVTec layout"
    )
    parser.add_argument(
        "--references",
        type=at_least_one,
        default=8,
        help="good images of a product that the others are compared with; products with fewer are left out "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--limit", type=none_or_more, default=0, help="images of a product with a defect (default: all)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/proposals"),
        help="what was found; images found there are not looked at again (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Look at all products and print the tables; returns the exit status."""
    from adclick_backend.benchmark.local_engine import LocalEngine
    from adclick_backend.engine.bank import EngineError
    from adclick_backend.report.proposals import each_with_references, look, table
    from model.commands.products import find_products
    from model.studies.results import read

    products = list(each_with_references(find_products(args.folders), args.references))
    if not products:
        print(f"None of these products has {args.references} good images.")
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    results = args.out / RESULTS
    with tempfile.TemporaryDirectory(prefix="adclick-proposals-") as folder:
        engine = LocalEngine(Path(folder))
        try:
            for category in tqdm(products, desc="products"):
                look(category, engine, results, args.references, args.limit)
        except (EngineError, ValueError, OSError) as error:
            print(error)
            return 1
    names = {category.name for category in products}
    print(
        table(
            [row for row in read(results) if row["product"] in names and row["references"] == args.references]
        )
    )
    return 0
