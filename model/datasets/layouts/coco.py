"""COCO's instance segmentation: one file of annotations, its masks as run lengths, exact to the pixel.

The form is that of https://cocodataset.org/#format-data. Polygons, which it has as well, know no holes; run lengths do.
``iscrowd`` is 0 all the same: 1 would keep a region out of every score. Of each image there is also its task in Label
Studio, who labelled it and whether that was reviewed, of each annotation its origin and what it was drawn as.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_runtime import coco_rle
from model.datasets.layouts.picture import Entry, Mark, Part, Picture, image_entries
from model.datasets.layouts.spool import Spool


def coco(
    pictures: Iterable[Picture], types: Sequence[str], title: str, scratch: Path | None = None
) -> Iterator[Entry]:
    """``images/NAME`` and ``annotations.json``, of each part in a folder of its name.

    Args:
        pictures: each is asked for when the files of the one before have been taken.
        types: all defect types; the first has the category 1.
        title: what the file says it is.
        scratch: folder in which the annotations are collected, see `Spool`.
    """
    with ExitStack() as stack:
        files: dict[Part, _Annotations] = {}
        for picture in pictures:
            if picture.part not in files:
                files[picture.part] = _Annotations(types, title, scratch, stack)
            yield from image_entries(picture, f"{_prefix(picture.part)}images")
            files[picture.part].add(picture)
        for part, file in files.items():
            yield Entry(f"{_prefix(part)}annotations.json", file.pieces())


def _prefix(part: Part) -> str:
    return f"{part}/" if part else ""


class _Annotations:
    """One file: its two lists grow side by side, and are put one behind the other at the end."""

    def __init__(self, types: Sequence[str], title: str, scratch: Path | None, stack: ExitStack) -> None:
        self._title = title
        self._categories = {name: number for number, name in enumerate(types, start=1)}
        self._images = stack.enter_context(Spool(scratch))
        self._annotations = stack.enter_context(Spool(scratch))
        self._image = self._annotation = 0

    def add(self, picture: Picture) -> None:
        self._image += 1
        about = {"task": picture.task, "annotator": picture.annotator, "reviewed": picture.reviewed}
        size = {"width": picture.width, "height": picture.height}
        _append(self._images, {"id": self._image, "file_name": picture.name, **size, **about})
        for mark in picture.marks:
            self._annotation += 1
            ids = {
                "id": self._annotation,
                "image_id": self._image,
                "category_id": self._categories[mark.type],
            }
            _append(self._annotations, {**ids, **_shape(mark)})

    def pieces(self) -> Iterator[bytes]:
        categories = [
            {"id": number, "name": name, "supercategory": "defect"}
            for name, number in self._categories.items()
        ]
        head = {"info": {"description": self._title}, "licenses": [], "categories": categories}
        yield _json(head)[:-1] + b',"images":[\n'
        yield from chain(self._images.pieces(), [b'\n],"annotations":[\n'], self._annotations.pieces())
        yield b"\n]}\n"


def _shape(mark: Mark) -> dict[str, Any]:
    mask = mark.mask
    return {
        "segmentation": coco_rle.encoded(mask),
        "area": int(mask.sum()),
        "bbox": _box(mask),
        "iscrowd": 0,
        "origin": mark.origin,
        "shape": mark.shape,
    }


def _box(mask: NDArray[np.bool_]) -> list[int]:
    """x, y, width and height of the smallest box round a mask, pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def _append(spool: Spool, value: dict[str, Any]) -> None:
    spool.add(("" if spool.empty else ",\n") + _json(value).decode())


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
