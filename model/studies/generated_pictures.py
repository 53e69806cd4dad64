"""Pictures with generated defects for a study: painted once for a division of a product, then read again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from model.checkpoint.atomic import write_atomically
from model.datasets.mvtec import read_mask, read_rgb
from model.generation.anogen.examples import Example
from model.generation.anogen.files import Origin, file_name, write_picture
from model.generation.anogen.generator import Generator, GeneratorError
from model.generation.anogen.series import Generated, generate
from model.generation.anogen.window import Box, Image
from model.labels.generated import GeneratedImage, boxed
from model.labels.labelled import WeakLabel, painted

Trusted = Literal["box", "mask"]
"""What of a generated picture is believed: that the defect is somewhere in its box, or the mask too."""


@dataclass(frozen=True)
class Picture:
    """A picture on disk.

    Attributes:
        name: of it, with the generator's.
        type: of the defect.
        host: place of the good image that it was painted on.
        box: (left, top, right, bottom), pixels.
        file: of its pixels; its mask lies beside it.
    """

    name: str
    type: str
    host: int
    box: tuple[int, int, int, int]
    file: Path

    def training(self, trusted: Trusted) -> GeneratedImage:
        """The picture as training takes it."""

        def label() -> WeakLabel:
            mask = read_mask(self.mask_file)
            return painted(mask) if trusted == "mask" else boxed(Box(*self.box).mask(mask.shape))

        return GeneratedImage(self.name, lambda: read_rgb(self.file), label, self.type, self.host)

    @property
    def mask_file(self) -> Path:
        """Of its mask."""
        return self.file.with_name(f"{self.file.stem}_mask.png")


@dataclass(frozen=True)
class Series:
    """The pictures of a type.

    Attributes:
        pictures: of it.
        learning: seconds that its look took to learn.
        painting: seconds that the pictures took.
        refused: why there are none, or not all.
    """

    pictures: tuple[Picture, ...]
    learning: float
    painting: float
    refused: str = ""


def painted_once(
    generator: Generator,
    type: str,
    examples: Sequence[Example],
    hosts: Sequence[Image],
    count: int,
    folder: Path,
    seed: int,
) -> Series:
    """The series of a type, read from its folder if it was painted before; an interrupted one is painted anew.

    Args:
        generator: that paints.
        type: of the defects.
        examples: its labelled defects.
        hosts: good images, (H, W, 3) uint8 RGB.
        count: pictures.
        folder: for the pictures of this generator on these hosts, from these examples.
        seed: of the series.
    """
    said = folder / f"{type}.json"
    if said.exists():
        found = json.loads(said.read_text())
        return Series(
            tuple(_picture(generator, type, folder, row) for row in found["pictures"]),
            found["learning"],
            found["painting"],
            found["refused"],
        )
    rows: list[dict[str, Any]] = []
    refused, learning, started = "", 0.0, time.monotonic()
    try:
        learned = generator.learn(examples, seed=seed)
        learning = time.monotonic() - started
        for one in generate(generator, learned, examples, hosts, type, count, seed=seed):
            rows.append({"number": one.number, "host": one.host, "box": list(one.box.edges)})
            _write(one, _picture(generator, type, folder, rows[-1]), generator.name)
    except GeneratorError as error:
        refused = str(error)
    painting = time.monotonic() - started - learning
    about = {
        "generated": True,
        "pictures": rows,
        "learning": round(learning, 1),
        "painting": round(painting, 1),
        "refused": refused,
    }
    write_atomically(said, json.dumps(about, indent=1).encode(), durable=False)
    return painted_once(generator, type, examples, hosts, count, folder, seed)


def _picture(generator: Generator, type: str, folder: Path, row: dict[str, Any]) -> Picture:
    return Picture(
        f"{safe(generator.name)}-{type}-{row['number']}",
        type,
        row["host"],
        tuple(row["box"]),
        folder / type / file_name(row["number"]),
    )


def safe(name: str) -> str:
    """The name of a generator, as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", name)


def _write(one: Generated, picture: Picture, generator: str) -> None:
    origin = Origin(one.type, one.number, one.seed, picture.box, f"reference {one.host}", generator)
    write_picture(picture.file, one.pixels, origin)
    write_picture(picture.mask_file, one.mask, origin)
