"""``adclick synthesis``: a contact sheet of drawn defects, to see what the network is trained on."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from model.commands.arguments import at_least_one, seed
from model.datasets.mvtec import IMAGE_SUFFIXES, find_categories, read_rgb
from model.generation.products import Product
from model.generation.synthesis import KINDS, Image, add_defect

TILE = 224


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick synthesis``."""
    parser.add_argument(
        "folders", type=Path, nargs="*", help="products in MVTec layout (default: drawn products only)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("sheet.png"), help="PNG to write (default: %(default)s)"
    )
    parser.add_argument(
        "--columns", type=at_least_one, default=6, help="examples of each kind (default: %(default)s)"
    )
    parser.add_argument("--seed", type=seed, default=0)


def run(args: argparse.Namespace) -> int:
    """Draw and write the sheet, one kind of defect a row, its mask outlined; returns the exit status."""
    if args.out.suffix.lower() not in IMAGE_SUFFIXES:
        print(f"{args.out.name} is no name of a picture; use one that ends in .png or .jpg.")
        return 2
    rng = np.random.default_rng(args.seed)
    good = [p for category in find_categories(args.folders) for p in category.good()]
    rows = []
    for kind in KINDS:
        tiles = []
        for column in range(args.columns):
            drawn = not good or column % 2 == 0
            host = (
                Product(int(rng.integers(10**6))).image(rng)
                if drawn
                else read_rgb(good[rng.integers(len(good))])
            )
            image, mask, used = add_defect(host, rng, kind)
            tiles.append(_tile(image, mask, used))
        rows.append(np.concatenate(tiles, 1))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(args.out), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR)):
        print(f"{args.out} could not be written; may this folder be written to?")
        return 1
    print(f"Wrote {args.out}: {len(KINDS)} kinds of defect, {args.columns} of each.")
    return 0


def _tile(image: Image, mask: NDArray[np.bool_], kind: str) -> Image:
    """(TILE, TILE, 3): the image with the mask's outline and the kind's name."""
    shown = cv2.resize(image, (TILE, TILE), interpolation=cv2.INTER_AREA)
    small = cv2.resize(mask.astype(np.uint8), (TILE, TILE), interpolation=cv2.INTER_NEAREST)
    outline = cv2.dilate(small, np.ones((5, 5), np.uint8)) - cv2.dilate(small, np.ones((3, 3), np.uint8))
    shown[outline > 0] = (255, 40, 40)
    cv2.putText(shown, kind, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(shown, kind, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(shown, np.uint8)
