"""What a layout is given, and the files that it gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Part = Literal["", "train", "val", "test"]
"""What a picture is for; "" where nothing was split."""

PARTS: tuple[Part, ...] = ("train", "val", "test")

Origin = Literal["person", "clicks", "machine", "machine, corrected"]
"""Who made a mask: a person by hand; a network, from the clicks of a person; a network before any click, and somebody
let it pass; the same, and somebody changed it."""

Shape = Literal["brush", "polygon", "rectangle", "ellipse"]


@dataclass(frozen=True)
class Mark:
    """One labelled region; of many in an image of many megapixels, each is a bit a pixel until it is looked at.

    Attributes:
        type: defect type.
        bits: of its mask, row after row, eight pixels a uint8, the first one the highest.
        size: height and width of the upright image, pixels.
        origin: who made it.
        shape: what it was drawn as. Of a rectangle or an ellipse, which say that the defect is somewhere inside, the
            mask is all of the inside.
    """

    type: str
    bits: NDArray[np.uint8]
    size: tuple[int, int]
    origin: Origin = "person"
    shape: Shape = "brush"

    @classmethod
    def of(
        cls, type: str, mask: NDArray[np.bool_], origin: Origin = "person", shape: Shape = "brush"
    ) -> Mark:
        """The region with this mask, (H, W) bool in pixels of the upright image, not empty."""
        height, width = mask.shape
        return cls(type, np.packbits(mask), (height, width), origin, shape)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool in pixels of the upright image."""
        height, width = self.size
        return np.unpackbits(self.bits, count=height * width).view(bool).reshape(height, width)


@dataclass(frozen=True)
class Picture:
    """One labelled image.

    Attributes:
        name: of its file, with its suffix, and different from that of every other picture.
        height: of the upright image, pixels.
        width: of the upright image, pixels.
        marks: its regions; none where it is free of defects.
        file: the image file: its bytes, or where it lies when links to it will do; None leaves it out.
        part: what it is for.
        product: name of its product, which is that of a folder where a layout has one for each.
        task: number of its task in Label Studio.
        annotator: who labelled it; "" when that is not known.
        reviewed: whether somebody called the label the truth.
    """

    name: str
    height: int
    width: int
    marks: Sequence[Mark] = ()
    file: bytes | Path | None = None
    part: Part = ""
    product: str = "product"
    task: int = 0
    annotator: str = ""
    reviewed: bool = False

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return Path(self.name).stem

    def in_connected_parts(self) -> Picture:
        """The same picture with a mark for each connected part, diagonals included, of every mark."""
        return replace(self, marks=[part for mark in self.marks for part in _connected(mark)])

    def union(self, type: str | None = None) -> NDArray[np.bool_]:
        """(H, W) bool: where any of its marks is, or any of one type."""
        found = np.zeros((self.height, self.width), bool)
        for mark in self.marks:
            if type in (None, mark.type):
                found |= mark.mask
        return found


@dataclass(frozen=True)
class Entry:
    """A file that a layout gives.

    Attributes:
        path: relative, with ``/``.
        content: its bytes, in pieces or as a whole, or the file that a link leads to.
    """

    path: str
    content: bytes | Iterable[bytes] | Path

    @property
    def pieces(self) -> Iterator[bytes]:
        """Its bytes, whatever they are kept as."""
        if isinstance(self.content, Path):
            yield self.content.read_bytes()
        elif isinstance(self.content, bytes):
            yield self.content
        else:
            yield from self.content


def image_entries(picture: Picture, folder: str) -> Iterator[Entry]:
    """The image file of a picture in a folder; nothing when it is left out."""
    if picture.file is not None:
        yield Entry(f"{folder}/{picture.name}", picture.file)


def png(mask: NDArray[np.bool_]) -> bytes:
    """A mask (H, W) bool as a PNG file of one channel: 0, and 255 inside."""
    return cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()


def _connected(mark: Mark) -> Iterator[Mark]:
    count, labels = cv2.connectedComponents(mark.mask.astype(np.uint8), connectivity=8)
    for number in range(1, count):
        yield Mark.of(mark.type, labels == number, mark.origin, mark.shape)
