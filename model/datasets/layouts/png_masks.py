"""Masks as PNG files: one for each type in an image, and one of all types by number, with a colour each."""

from __future__ import annotations

import colorsys
import csv
import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.datasets.layouts.file_names import folders_of
from model.datasets.layouts.picture import Entry, Picture, image_entries, png

MOST_TYPES = 255
"""An indexed file has 256 values, and 0 is no defect."""

_TURN = 0.618034  # of the circle of colours from one type to the next: the golden section repeats nothing for long


def png_masks(pictures: Iterable[Picture], types: Sequence[str]) -> Iterator[Entry]:
    """``images/NAME``, ``masks/TYPE/STEM.png`` of 0 and 255, ``indexed/STEM.png`` and ``types.csv``.

    What belongs to several types has in the indexed file the number of the smallest of these regions, so that none
    is covered whole. Each part has a folder of its name.

    Args:
        pictures: each is asked for when the files of the one before have been taken.
        types: all defect types; the first has the number 1.

    Raises:
        ValueError: there are more types than numbers.
    """
    if len(types) > MOST_TYPES:
        raise ValueError(
            f"An indexed PNG file tells {MOST_TYPES} types apart, and there are {len(types)}: export as COCO."
        )
    folders, numbers = folders_of(types), {name: number for number, name in enumerate(types, start=1)}
    colours = [(0, 0, 0), *(_colour(number) for number in range(len(types)))]
    for picture in pictures:
        prefix = f"{picture.part}/" if picture.part else ""
        yield from image_entries(picture, f"{prefix}images")
        for name in dict.fromkeys(mark.type for mark in picture.marks):
            yield Entry(f"{prefix}masks/{folders[name]}/{picture.stem}.png", png(picture.union(name)))
        indexed = _indexed(_numbered(picture, numbers), colours)
        yield Entry(f"{prefix}indexed/{picture.stem}.png", indexed)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("number", "type", "folder", "colour"))
    for number, (name, colour) in enumerate(zip(["", *types], colours, strict=True)):
        rows.writerow((number, name, folders.get(name, ""), "#{:02x}{:02x}{:02x}".format(*colour)))
    yield Entry("types.csv", table.getvalue().encode())


def _numbered(picture: Picture, numbers: dict[str, int]) -> NDArray[np.uint8]:
    """(H, W) uint8: the number of the type at each pixel, 0 for none."""
    found = np.zeros((picture.height, picture.width), np.uint8)
    for mark in sorted(picture.marks, key=lambda mark: -int(mark.mask.sum())):
        found[mark.mask] = numbers[mark.type]
    return found


def _indexed(numbers: NDArray[np.uint8], colours: Sequence[tuple[int, int, int]]) -> bytes:
    image = Image.frombytes("P", numbers.shape[::-1], numbers.tobytes())
    image.putpalette([value for colour in colours for value in colour])
    file = io.BytesIO()
    image.save(file, "PNG", optimize=False)
    return file.getvalue()


def _colour(number: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(number * _TURN % 1, 0.75, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)
