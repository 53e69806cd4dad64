"""The segmentation layout of YOLO: ``data.yaml``, and for each image a text with one polygon a line.

The form is that of https://docs.ultralytics.com/datasets/segment: a class and the corners ``x y x y ...`` in [0, 1] of
the image. A line is one connected part, for a polygon cannot be two, with a slit to each hole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from adclick_runtime.polygons import Polygon, polygons_of
from model.datasets.layouts.picture import PARTS, Entry, Part, Picture, image_entries

_WITHIN_PIXEL = 0.25
"""Where in its pixel a corner lies, of both sides. Readers fill with OpenCV, which takes whole numbers: some cut the
fraction off (Ultralytics), others round (supervision). From here both come to the pixel, and the mask is back."""

_FEWEST_CORNERS = 3  # of a line that readers take for a polygon; a smaller part says its last one again


def yolo_seg(pictures: Iterable[Picture], types: Sequence[str]) -> Iterator[Entry]:
    """``images/PART/NAME``, ``labels/PART/STEM.txt`` and ``data.yaml``; what was not split is the part ``train``.

    Args:
        pictures: each is asked for when the files of the one before have been taken.
        types: all defect types; the first is class 0.
    """
    seen: set[Part] = set()
    numbers = {name: number for number, name in enumerate(types)}
    for picture in pictures:
        part: Part = picture.part or "train"
        seen.add(part)
        yield from image_entries(picture, f"images/{part}")
        yield Entry(f"labels/{part}/{picture.stem}.txt", _lines(picture, numbers).encode())
    yield Entry("data.yaml", _description(types, seen).encode())


def _lines(picture: Picture, numbers: dict[str, int]) -> str:
    return "".join(
        f"{numbers[mark.type]} {_corners(polygon, picture.height, picture.width)}\n"
        for mark in picture.marks
        for polygon in polygons_of(mark.mask)
    )


def _corners(polygon: Polygon, height: int, width: int) -> str:
    missing = max(0, _FEWEST_CORNERS - len(polygon))
    corners = np.concatenate((polygon, np.repeat(polygon[-1:], missing, axis=0)))
    return " ".join(f"{value:.6f}" for value in ((corners + _WITHIN_PIXEL) / (width, height)).ravel())


def _description(types: Sequence[str], seen: set[Part]) -> str:
    lines = [f"{part}: images/{part}" for part in PARTS if part in seen]
    if "val" not in seen and "train" in seen:  # which readers insist on
        lines.append("val: images/train  # there are no others to judge by")
    names = [f"  {number}: {json.dumps(name, ensure_ascii=False)}" for number, name in enumerate(types)]
    return "\n".join([*lines, "names:" if names else "names: {}", *names, ""])
