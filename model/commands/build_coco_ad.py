"""``adclick build coco-ad``: a split of COCO-AD from a folder of COCO 2017, in the layout that every command reads."""

from __future__ import annotations

import argparse
from pathlib import Path

from model.datasets.coco_ad import SPLITS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick build coco-ad``."""
    parser.add_argument(
        "coco",
        type=Path,
        metavar="COCO_DIR",
        help="folder with train2017, val2017 and annotations, or with images and one instances.json",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder; the split lies in OUT/splitK")
    parser.add_argument(
        "--split", type=int, choices=range(SPLITS), required=True, help="which 20 classes are held out"
    )
    parser.add_argument(
        "--copy", action="store_true", help="copy the images (default: links to where they are)"
    )


def run(args: argparse.Namespace) -> int:
    """Build the split and print what it holds; returns the exit status."""
    from model.datasets.coco_ad import build_split

    folder = args.out / f"split{args.split}"
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        counts = build_split(args.coco, folder, args.split, args.copy)
    except ValueError as error:
        print(error)
        return 2
    except OSError as error:
        print(f"{folder} cannot be written: {error.strerror}. Nothing of it is left.")
        return 1
    for note in counts.notes:
        print(note)
    print(
        f"Wrote {folder}: {counts.train} images to learn from; {counts.good + counts.anomalous} to test with, "
        f"{counts.anomalous} of them with a held-out class."
    )
    return 0
