"""Draw a small set of product photographs with defects and their true masks.

    python examples/draw_samples.py OUT [--products flange cloth cap] [--good 12] [--per-defect 4]

The folders are those of MVTec AD: ``OUT/<product>/train/good``, ``test/<defect>`` and
``ground_truth/<defect>/<name>_mask.png``. The same seed always draws the same images.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import cv2
import numpy as np
from drawing.defects import DEFECTS
from drawing.products import PRODUCTS
from drawing.surface import photograph, random_pose
from numpy.typing import NDArray

CANVAS = 1.32  # side of the drawing over that of the photograph: what a turned or shifted product needs


class Sample(NamedTuple):
    """A photograph, H x W x 3 uint8 RGB, and its defect's true pixels, H x W bool (none when it is good)."""

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def draw(product: str, defect: str | None = None, *, seed: int = 0, size: int = 512) -> Sample:
    """Draw one photograph of a product, with a defect or good: keys of ``PRODUCTS`` and ``DEFECTS``."""
    kind = PRODUCTS[product]
    rng = np.random.default_rng([seed, crc32(f"{product}/{defect}".encode())])
    surface = kind.draw(rng, int(size * CANVAS), float(size))
    pose = random_pose(rng, size, turn=kind.turn)
    where = np.zeros_like(surface.height) if defect is None else DEFECTS[defect](surface, rng, float(size))
    return Sample(*photograph(surface, where, pose, size, rng))


def write_dataset(
    out: Path,
    *,
    products: Sequence[str] = tuple(PRODUCTS),
    good: int = 12,
    per_defect: int = 4,
    size: int = 512,
    seed: int = 0,
) -> int:
    """Draw a data set in the layout of MVTec AD below ``out``; returns how many images were written."""
    written = 0
    for product in products:
        for index in range(good + per_defect):  # the last ones are good images to test with
            folder = out / product / ("train/good" if index < good else "test/good")
            save_image(folder / f"{index:03d}.png", draw(product, seed=1000 * seed + index, size=size).image)
            written += 1
        for defect in PRODUCTS[product].defects:
            for index in range(per_defect):
                sample = draw(product, defect, seed=1000 * seed + index, size=size)
                save_image(out / product / "test" / defect / f"{index:03d}.png", sample.image)
                truth = out / product / "ground_truth" / defect / f"{index:03d}_mask.png"
                save_image(truth, sample.mask.astype(np.uint8) * 255)
                written += 1
    return written


def save_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a picture, H x W x 3 RGB or H x W, and the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 else image):
        raise OSError(f"Could not write {path}.")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write to")
    parser.add_argument("--products", nargs="+", choices=sorted(PRODUCTS), default=list(PRODUCTS))
    parser.add_argument("--good", type=int, default=12, help="defect-free images of each product")
    parser.add_argument(
        "--per-defect", type=int, default=4, help="images of each defect, and good test images"
    )
    parser.add_argument("--size", type=int, default=512, help="side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    written = write_dataset(
        args.out,
        products=args.products,
        good=args.good,
        per_defect=args.per_defect,
        size=args.size,
        seed=args.seed,
    )
    print(f"{written} images of {', '.join(args.products)} in {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
