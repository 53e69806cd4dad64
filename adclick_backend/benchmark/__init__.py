"""``adclick benchmark``: how good the masks are after a few clicks, measured through the real server."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick benchmark``."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="DATA_DIR", help="folders with products in MVTec layout"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/benchmark"),
        help="results, one line an image; images found there are not measured again (default: %(default)s)",
    )
    parser.add_argument(
        "--clicks", type=int, default=20, help="clicks an image at most (default: %(default)s)"
    )
    parser.add_argument(
        "--references", type=int, help="use at most so many references a product (default: all)"
    )
    parser.add_argument("--limit", type=int, help="measure at most so many images a product (default: all)")
    parser.add_argument(
        "--jitter",
        type=float,
        default=0.0,
        help="standard deviation, in percent of the longer side, of clicks that miss the middle (default: 0)",
    )
    parser.add_argument(
        "--peers", action="store_true", help="also GrabCut and scikit-image's random walker, same images"
    )
    parser.add_argument("--checkpoint", type=Path, help="weights to measure (default: those that ship)")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Measure and print the table; returns the exit status."""
    from adclick_backend.benchmark.protocol import measure

    return measure(args)
