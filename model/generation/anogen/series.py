"""A series of generated images of a type: every one from a seed of its own, so that it can be made again alone."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.generation.anogen.boxes import Boxes
from model.generation.anogen.examples import Example
from model.generation.anogen.foreground import Foreground
from model.generation.anogen.generator import Generator, GeneratorError, Learned
from model.generation.anogen.window import Box, Image

ATTEMPTS = 3
"""Boxes that are tried for an image until a defect can be told from the good image."""

FEW = 3
"""Good images below which the labelled ones help to tell where the product is."""

NOTHING = 3
"""Images in a row on which nothing came out, after which the others are given up."""


@dataclass(frozen=True)
class Generated:
    """A generated image.

    Attributes:
        pixels: (H, W, 3) uint8 RGB; outside of the box they are the host's.
        mask: (H, W) bool, where in the box the generator says that the defect is.
        box: in which was painted.
        type: of the defect.
        host: index of the good image that it was painted on.
        seed: of the painting; with the box, the host and what was learned it gives the same image again.
        number: in its series, from 0.
    """

    pixels: Image
    mask: NDArray[np.bool_]
    box: Box
    type: str
    host: int
    seed: int
    number: int


def generate(
    generator: Generator,
    learned: Learned,
    examples: Sequence[Example],
    hosts: Sequence[Image],
    type: str,
    count: int,
    *,
    seed: int = 0,
    go_on: Callable[[], None] = lambda: None,
    start: int = 0,
) -> Iterator[Generated]:
    """Paint defects of a type on good images.

    Image n is the same whatever ``count`` and ``start`` are. A number on which nothing came out is left out.

    Args:
        generator: paints.
        learned: the look of the type.
        examples: its labelled defects, from which the sizes of the boxes are taken.
        hosts: good images of the product, (H, W, 3) uint8 RGB; they take turns.
        type: its name.
        count: the numbers ``start`` to ``count`` - 1 are painted.
        seed: of the series.
        go_on: called before each step of the painting; may raise, to end it.
        start: the first number, where an interrupted series goes on.

    Raises:
        GeneratorError: there is no place for a box of this type, or nothing comes out.
    """
    if not hosts:
        raise GeneratorError(
            "There is no good image to paint on: mark at least one image as free of defects."
        )
    foreground = Foreground.of(hosts if len(hosts) >= FEW else [*hosts, *(one.pixels for one in examples)])
    boxes = Boxes.of(examples, foreground)
    own = [seed, zlib.crc32(type.encode())]
    turns = np.random.default_rng(own).permutation(len(hosts))
    nothing: list[str] = []  # why, on the images in a row on which nothing came out
    for number in range(start, count):
        host = int(turns[number % len(hosts)])
        normal = hosts[host]
        product = foreground.find(normal)
        rng = np.random.default_rng([*own, number])
        nothing.append(
            f"nothing came out for {type!r} that can be told from the good image: label more of its defects, larger "
            "ones if there are any, and generate again."
        )
        for _ in range(ATTEMPTS):
            box = boxes.draw(product, (normal.shape[0], normal.shape[1]), rng)
            if box is None:
                nothing[-1] = (
                    f"there was no place for a box of {type!r}, the last of them being good image {host + 1}: the "
                    "labelled defects are larger than the product is there. Check these labels and these images."
                )
                break
            of_painting = int(rng.integers(2**31))
            found = generator.paint(normal, box, learned, of_painting, go_on)
            if found is not None:
                nothing.clear()
                yield Generated(found.pixels, found.mask, found.box, type, host, of_painting, number)
                break
        if len(nothing) == NOTHING:
            raise GeneratorError(f"On {NOTHING} images in a row, {nothing[-1]}")
