"""A generator that takes no time: it darkens the middle of a box, by as much as the labelled defects are dark."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from model.generation.anogen.examples import Example
from model.generation.anogen.generator import Learned, Painted
from model.generation.anogen.window import Box, Image


class BoxPainter:
    """See `model.generation.anogen.generator.Generator`.

    Attributes:
        learned: how many examples each learning had.
        painted: how many boxes were painted.
        paints: False when nothing comes out.
    """

    def __init__(self, name: str = "box-painter-1") -> None:
        self.name = name
        self.learned: list[int] = []
        self.painted = 0
        self.paints = True

    def learn(
        self,
        examples: Sequence[Example],
        *,
        seed: int = 0,
        report: Callable[[float, float], None] = lambda share, loss: None,
    ) -> Learned:
        self.learned.append(len(examples))
        for share in (0.5, 1.0):
            report(share, 0.1)
        colours = [example.pixels[example.mask].mean() for example in examples]
        return Learned(np.array([np.mean(colours)], np.float32), self.name, 0.1, 2, 0.1, len(examples))

    def paint(
        self, normal: Image, box: Box, learned: Learned, seed: int, go_on: Callable[[], None] = lambda: None
    ) -> Painted | None:
        go_on()
        self.painted += 1
        if not self.paints:
            return None
        pixels, mask = normal.copy(), np.zeros(normal.shape[:2], bool)
        mask[box.top + 1 : box.bottom - 1, box.left + 1 : box.right - 1] = True
        pixels[mask] = int(learned.vector[0]) // 2 + seed % 8
        return Painted(pixels, box, mask)
