"""``adclick-detect BUNDLE IMAGE...``: look at files."""

from __future__ import annotations

import io
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import cv2

from adclick_runtime.commands.image_files import image_files
from adclick_runtime.commands.rows import FORMATS, Rows
from adclick_runtime.commands.whole_file import whole_file
from adclick_runtime.detection_json import as_json
from adclick_runtime.drawing import with_scores
from adclick_runtime.errors import ImageError
from adclick_runtime.looking import Looker, Pixels

FINE, DEFECT, PROBLEM = 0, 1, 2
"""Exit codes; a problem outweighs a defect."""

_QUALITY = 92  # of JPEG files


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments beside those that all commands have."""
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="image files, and folders of them"
    )
    parser.add_argument(
        "--product",
        help="compare with the references of this product, where the bundle has several",
    )
    parser.add_argument(
        "--format", choices=tuple(FORMATS), default="csv", help="json has masks as well; default: csv"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to; default: standard output")
    parser.add_argument(
        "--overlays", type=Path, metavar="DIR", help="draw what was found over copies of the images, in DIR"
    )
    parser.add_argument(
        "--fail-on-defect", action="store_true", help="exit with 1 when a defect was found anywhere"
    )


def run(args: Namespace, looker: Looker) -> int:
    """Look at all images; the exit code.

    Raises:
        OSError: what was found cannot be written.
        BundleError: the detector does not know the product.
    """
    looker.detector.product(args.product)
    colours = {name: place for place, name in enumerate(sorted(looker.detector.types))}
    overlays = None if args.overlays is None else Overlays(args.overlays, colours)
    seen: Counter[str] = Counter()
    with _written(args.output) as file, FORMATS[args.format](file) as write:
        for path in image_files(args.images):
            seen[_look(path, looker, args.product, write, overlays)] += 1
    if not seen:
        print(f"There is no image in {', '.join(map(str, args.images))}.", file=sys.stderr)
        return PROBLEM
    if seen["problem"]:
        print(f"{seen['problem']} of {seen.total()} images could not be read.", file=sys.stderr)
        return PROBLEM
    return DEFECT if seen["defect"] and args.fail_on_defect else FINE


class Overlays:
    """Images with what was found in them, in a folder.

    Args:
        folder: made when the first one is written.
        colours: type -> place in `adclick_runtime.drawing.COLOURS`.
    """

    def __init__(self, folder: Path, colours: Mapping[str, int]) -> None:
        self._folder, self._colours = folder, colours
        self._names: set[str] = set()

    def write(self, name: str, pixels: Pixels, regions: Any) -> None:
        """Draw the regions found in an image of that name; raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        drawn = cv2.cvtColor(with_scores(pixels, regions, self._colours), cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
        with whole_file(self._folder / self._free(Path(name).stem)) as file:
            file.write(data.tobytes())

    def _free(self, stem: str) -> str:
        """A name that no image of this run has."""
        number, name = 1, f"{stem}.jpg"
        while name in self._names:
            number += 1
            name = f"{stem}-{number}.jpg"
        self._names.add(name)
        return name


def _look(path: Path, looker: Looker, product: str | None, write: Rows, overlays: Overlays | None) -> str:
    """Write a row about an image: ``defect``, ``nothing`` or ``problem``, whichever came of it."""
    try:
        pixels = looker.read(path.read_bytes(), product)
    except (OSError, ImageError) as error:
        write(str(path), {}, f"{error.strerror}." if isinstance(error, OSError) else str(error))
        return "problem"
    found = looker.look(pixels, product)
    write(str(path), as_json(found, version=looker.version, product=product or ""))
    if overlays is not None and found.regions:
        overlays.write(path.name, pixels, found.regions)
    return "defect" if found.regions else "nothing"


@contextmanager
def _written(path: Path | None) -> Iterator[IO[str]]:
    if path is None:
        yield sys.stdout
        return
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        yield text
        text.flush()
        text.detach()
