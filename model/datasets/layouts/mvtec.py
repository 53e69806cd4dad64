"""The layout of MVTec AD, which this project's own commands and anomalib read; see :mod:`model.datasets.mvtec`.

Defective images are there to test with only, so a split says which of the *good* images are: those of ``train`` are
learned from. An image with several types lies in ``combined``, as in MVTec AD.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from model.datasets.layouts.file_names import folders_of
from model.datasets.layouts.picture import Entry, Picture, image_entries, png

COMBINED = "combined"


def mvtec(pictures: Iterable[Picture], types: Sequence[str]) -> Iterator[Entry]:
    """``PRODUCT/train/good``, ``test/good``, ``test/TYPE`` and ``ground_truth/TYPE/STEM_mask.png``.

    Args:
        pictures: each is asked for when the files of the one before have been taken. A good one is for ``train``
            unless it is for another part.
        types: all defect types.
    """
    folders = folders_of(types, taken=("good",))
    for picture in pictures:
        if not picture.marks:
            learned = picture.part in ("", "train")
            yield from image_entries(picture, f"{picture.product}/{'train' if learned else 'test'}/good")
            continue
        found = {mark.type for mark in picture.marks}
        folder = folders[found.pop()] if len(found) == 1 else COMBINED
        yield from image_entries(picture, f"{picture.product}/test/{folder}")
        mask = png(picture.union())
        yield Entry(f"{picture.product}/ground_truth/{folder}/{picture.stem}_mask.png", mask)
