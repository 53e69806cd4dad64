"""``adclick generate``: learn how the defects of a type look from a few, and paint more of them on good images.

What is written has MVTec layout: ``PRODUCT/test/TYPE/generated-000.png`` and its mask in ``ground_truth``. In ``boxes``
lies its box, as a mask likewise, so that this folder can take the place of ``ground_truth``. A command that was
interrupted goes on when it is called again.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from model.checkpoint.atomic import write_atomically
from model.checkpoint.manifest import CheckpointError
from model.commands.arguments import at_least_one, seed
from model.commands.products import find_products
from model.datasets.mvtec import IMAGE_SUFFIXES, Category, ImageFiles, good_split, read_mask, read_rgb
from model.generation.anogen.examples import Example
from model.generation.anogen.files import (
    Origin,
    file_name,
    read_learned,
    read_origin,
    write_learned,
    write_picture,
)
from model.generation.anogen.generator import Generator, GeneratorError, Learned
from model.generation.anogen.presets import SMALL, load_generator
from model.generation.anogen.series import generate
from model.generation.anogen.sheet import draw_sheet
from model.generation.anogen.window import Box, Image

SHOWN = 8
"""Pictures of a type on its contact sheet."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``adclick generate``."""
    parser.add_argument("folders", type=Path, nargs="+", help="folders with products in MVTec layout")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--type", nargs="+", metavar="TYPE", help="defect types (default: all)")
    parser.add_argument(
        "--exclude", nargs="*", default=[], metavar="SET/PRODUCT", help="products to leave out"
    )
    parser.add_argument(
        "--count", type=at_least_one, default=20, help="images of each type (default: %(default)s)"
    )
    parser.add_argument(
        "--support",
        type=at_least_one,
        default=3,
        help="labelled images that a type is learned from, the first by name (default: %(default)s)",
    )
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument(
        "--preset",
        default=SMALL,
        help="what paints: small, or the folder or hub name of a latent diffusion model (default: %(default)s)",
    )
    parser.add_argument(
        "--sheet",
        type=Path,
        help="PNG for the contact sheets of all types (they also lie in OUT, one by one)",
    )


@dataclass(frozen=True)
class _Type:
    """A defect type of a product, and where what is painted like it goes."""

    name: str
    labelled: list[tuple[Path, Path]]
    hosts: list[Path]
    out: Path

    def picture(self, number: int) -> Path:
        return self.out / "test" / self.name / file_name(number)

    def mask(self, number: int, of: str) -> Path:
        return self.out / of / self.name / f"{self.picture(number).stem}_mask.png"

    def written(self) -> list[tuple[int, Origin]]:
        """The numbers of the pictures that are there, in their order."""
        found = [read_origin(path) for path in self.picture(0).parent.glob("generated-*.png")]
        return sorted((origin.number, origin) for origin in found if origin is not None)


def run(args: argparse.Namespace) -> int:
    """Generate; returns the exit status."""
    if args.sheet is not None and args.sheet.suffix.lower() not in IMAGE_SUFFIXES:
        print(f"{args.sheet.name} is no name of a picture; use one that ends in .png or .jpg.")
        return 2
    if any(args.out.resolve().is_relative_to(folder.resolve()) for folder in args.folders):
        print(f"{args.out} lies in the data: what is generated would be taken for real. Use another folder.")
        return 2
    types = _types(find_products(args.folders, args.exclude), args)
    if not types:
        return 2
    try:
        generator = load_generator(args.preset, "cuda" if torch.cuda.is_available() else "cpu")
    except (CheckpointError, GeneratorError) as error:
        print(error)
        return 1
    sheets, failed = [], False
    for one in types:
        try:
            sheets.append(_generate(generator, one, args))
        except (GeneratorError, ValueError) as error:
            print(f"{one.out.name}/{one.name}: {error}")
            failed = True
        except OSError as error:
            print(f"{error.filename or one.out} cannot be written: {error.strerror}. What is there stays.")
            return 1
    if args.sheet is not None and sheets:
        _write_sheet(args.sheet, np.concatenate(sheets))
        print(f"Wrote {args.sheet}.")
    return int(failed)


def _types(products: Sequence[Category], args: argparse.Namespace) -> list[_Type]:
    """What is asked for; nothing, having said why, if a type is asked for that is not there."""
    names = Counter(product.root.name for product in products)
    found, known = [], set()
    for product in products:
        out = args.out / (product.root.name if names[product.root.name] == 1 else product.name)
        labelled: dict[str, list[tuple[Path, Path]]] = {}
        for pair in product.defects():
            labelled.setdefault(pair[0].parent.name, []).append(pair)
        known |= set(labelled)
        wanted = {kind: pairs for kind, pairs in labelled.items() if args.type is None or kind in args.type}
        hosts = good_split(product)[0]
        if wanted and not hosts:
            print(
                f"{product.name} is left out: it has no good image to paint on, in train/good or test/good."
            )
            continue
        found += [_Type(kind, pairs[: args.support], hosts, out) for kind, pairs in wanted.items()]
    if missing := sorted(set(args.type or []) - known):
        print(
            f"No product has labelled images of {', '.join(missing)}; there are: {', '.join(sorted(known))}."
        )
        return []
    if products and not known:
        print("No product has labelled images, in test/<type> and ground_truth/<type>.")
    return found


def _generate(generator: Generator, one: _Type, args: argparse.Namespace) -> Image:
    """Learn a type, unless that was done, paint what is missing, and draw its sheet."""
    where = f"{one.out.name}/{one.name}"
    examples = [Example(read_rgb(image), read_mask(mask)) for image, mask in one.labelled]
    if len(examples) == 1:
        print(f"{where} is learned from one labelled image; three are better.")
    learned = _learned(generator, examples, one, args)
    written = one.written()
    start = written[-1][0] + 1 if written else 0
    started, painted = time.monotonic(), 0
    series = generate(
        generator, learned, examples, ImageFiles(one.hosts), one.name, args.count, seed=args.seed, start=start
    )
    with tqdm(total=args.count, initial=min(start, args.count), desc=f"{where}: painting") as bar:
        for picture in series:
            origin = Origin(
                one.name,
                picture.number,
                picture.seed,
                picture.box.edges,
                one.hosts[picture.host].name,
                generator.name,
            )
            write_picture(one.mask(picture.number, "ground_truth"), picture.mask, origin)
            write_picture(one.mask(picture.number, "boxes"), picture.box.mask(picture.mask.shape), origin)
            write_picture(one.picture(picture.number), picture.pixels, origin)
            painted += 1
            bar.update(picture.number + 1 - bar.n)
    seconds = time.monotonic() - started
    print(
        f"{where}: learned from {learned.examples} images in {learned.seconds:.1f} s (loss {learned.loss:.3f}), "
        f"painted {painted} images" + (f", {seconds / painted:.1f} s each." if painted else ".")
    )
    sheet = draw_sheet(where, examples, _shown(one))
    _write_sheet(one.out / "sheets" / f"{one.name}.png", sheet)
    return sheet


def _learned(
    generator: Generator, examples: Sequence[Example], one: _Type, args: argparse.Namespace
) -> Learned:
    """The look of a type, learned now or by the call that was interrupted.

    Raises:
        GeneratorError: there are pictures that were made in another way.
    """
    path = one.out / "learned" / f"{one.name}.json"
    settings = {
        "generator": generator.name,
        "seed": args.seed,
        "labelled": [image.name for image, _ in one.labelled],
        "good": [host.name for host in one.hosts],
    }
    if (there := read_learned(path)) is not None:
        if there[1] == settings:
            return there[0]
        if one.written():
            changed = ", ".join(sorted(name for name in settings if there[1].get(name) != settings[name]))
            raise GeneratorError(
                f"{one.out} has images that were generated otherwise ({changed}). Use another folder with --out, or "
                "delete this one."
            )
    with tqdm(total=100, desc=f"{one.out.name}/{one.name}: learning", unit="%") as bar:

        def report(share: float, loss: float) -> None:
            bar.set_postfix({"loss": f"{loss:.3f}"}, refresh=False)
            bar.update(int(100 * share) - bar.n)

        learned = generator.learn(examples, seed=args.seed, report=report)
    write_learned(path, learned, settings)
    return learned


def _shown(one: _Type) -> list[tuple[Image, Image, Any, Box]]:
    """The first pictures of a type that are on disk, with their hosts."""
    hosts = {path.name: path for path in one.hosts}
    return [
        (
            read_rgb(hosts[origin.host]),
            read_rgb(one.picture(number)),
            read_mask(one.mask(number, "ground_truth")),
            Box(*origin.box),
        )
        for number, origin in one.written()[:SHOWN]
    ]


def _write_sheet(path: Path, sheet: Image) -> None:
    """Write a picture; raises OSError."""
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    write_atomically(path, data.tobytes(), durable=False)
