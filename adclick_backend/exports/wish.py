"""What labels somebody wants to have, and in which form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.datasets.layouts.coco import coco
from model.datasets.layouts.mvtec import mvtec
from model.datasets.layouts.picture import PARTS, Entry, Part, Picture
from model.datasets.layouts.png_masks import png_masks
from model.datasets.layouts.yolo_seg import yolo_seg

Images = Literal["copy", "link", "none"]
Shares = Mapping[Part, float]
Layout = Callable[[Iterator[Picture], Sequence[str], str, Path], Iterator[Entry]]


class ExportError(ValueError):
    """Something that cannot be exported; the message is a sentence for a person."""


@dataclass(frozen=True)
class Format:
    """A layout that labels can be exported in.

    Attributes:
        words: what it is, for a person.
        write: the layout, given the pictures, all types, a title and a folder on the disk that has room.
        shares: of the parts, unless somebody says otherwise; None: nothing is split.
        good_only: only good images are split, for the others have one place.
        parts: that it has.
        references: whether good images that were handed in as references belong to it.
    """

    words: str
    write: Layout
    shares: Shares | None = None
    good_only: bool = False
    parts: tuple[Part, ...] = PARTS
    references: bool = False


FORMATS: Mapping[str, Format] = {
    "coco": Format("COCO with run lengths", coco),
    "yolo-seg": Format(
        "YOLO polygons",
        lambda pictures, types, *_: yolo_seg(pictures, types),
        {"train": 0.8, "val": 0.2},
    ),
    "mvtec": Format(
        "MVTec AD folders",
        lambda pictures, types, *_: mvtec(pictures, types),
        {"train": 0.8, "test": 0.2},
        good_only=True,
        parts=("train", "test"),
        references=True,
    ),
    "png": Format("PNG masks", lambda pictures, types, *_: png_masks(pictures, types)),
}


@dataclass(frozen=True)
class Wish:
    """What is to be exported.

    Attributes:
        format: a key of `FORMATS`.
        images: whether image files are copied, linked to, or left out.
        shares: of the parts; None for what is usual in the format.
        seed: of the split.
        reviewed: only annotations with Label Studio's star.
        annotator: only annotations of this person, by name or number; "" for everybody's.
        parts: a region for each connected part.
        boxes: whether rectangles and ellipses are exported, as masks of all of their inside.

    Raises:
        ExportError: there is no such format, or it has no such part.
    """

    format: str
    images: Images = "copy"
    shares: Shares | None = None
    seed: int = 0
    reviewed: bool = False
    annotator: str = ""
    parts: bool = False
    boxes: bool = True

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ExportError(f"There is no format {self.format[:40]!r}; there are {', '.join(FORMATS)}.")
        missing = [part for part in self.shares or () if part not in self.layout.parts]
        if missing:
            raise ExportError(
                f"The format {self.format} has no part {missing[0]}, only {' and '.join(self.layout.parts)}: give "
                f"{missing[0]} no share."
            )

    @property
    def layout(self) -> Format:
        """The format."""
        return FORMATS[self.format]

    @property
    def wanted_shares(self) -> Shares | None:
        """The shares of the parts; None when nothing is split."""
        return self.layout.shares if self.shares is None else self.shares


def read_shares(text: str) -> Shares:
    """``80/10/10`` as the shares of train, val and test.

    Raises:
        ExportError: it is not three numbers from 0 on of which one is larger.
    """
    try:
        numbers = [float(word) for word in text.split("/")]
    except ValueError:
        numbers = []
    if len(numbers) != len(PARTS) or not all(0 <= number < 1e9 for number in numbers) or not sum(numbers):
        raise ExportError(
            f"A split is three shares, of train, val and test, such as 80/10/10, and not {text[:40]!r}."
        )
    return {part: number for part, number in zip(PARTS, numbers, strict=True) if number}
