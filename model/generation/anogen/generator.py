"""What every generator of defects can do: learn the look of a type, and paint it in a box of a good image."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.generation.anogen.examples import Example
from model.generation.anogen.window import Box, Image


class GeneratorError(RuntimeError):
    """Nothing can be generated; the message says why and what to do."""


NOTHING_SEEN = "None of the labelled defects has a mask of twelve pixels or more."
"""Why nothing can be learned from masks that are too small."""


def recent(losses: Sequence[float]) -> float:
    """The mean of the last twenty losses."""
    return float(np.mean(losses[-20:]))


@dataclass(frozen=True)
class Learned:
    """What was learned of the look of a type: the one vector of AnoGen's first stage.

    Attributes:
        vector: (V,) float32, and behind it what else its generator has to know of the type.
        generator: the name and weights that it belongs to; no other can read it.
        loss: mean of the last steps.
        steps: of the training.
        seconds: that they took.
        examples: how many labelled images it was learned from.
    """

    vector: NDArray[np.float32]
    generator: str
    loss: float
    steps: int
    seconds: float
    examples: int

    @classmethod
    def by(
        cls, generator: str, vector: Tensor, losses: Sequence[float], started: float, examples: int
    ) -> Learned:
        """What a generator learned from so many images, with a loss a step, since ``started`` (monotonic seconds)."""
        found = vector.detach().cpu().numpy().astype(np.float32)
        return cls(
            found, generator, recent(losses), len(losses), round(time.monotonic() - started, 1), examples
        )

    def check(self, generator: str) -> None:
        """Make sure that a generator can read it.

        Raises:
            GeneratorError: it was learned by another one.
        """
        if self.generator != generator:
            raise GeneratorError(
                f"The look of this type was learned by {self.generator}, and {generator} paints: learn it again."
            )


@dataclass(frozen=True)
class Painted:
    """A good image with a defect painted on it.

    Attributes:
        pixels: (H, W, 3) uint8 RGB; outside of the box they are those of the good image, to the last bit.
        box: in which was painted.
        mask: (H, W) bool, where in the box the generator says that the defect is; never empty.
    """

    pixels: Image
    box: Box
    mask: NDArray[np.bool_]


class Generator(Protocol):
    """A diffusion model that learns a type by one vector and paints it."""

    @property
    def name(self) -> str:
        """Of the preset and its weights, as :attr:`Learned.generator` has it."""

    def learn(
        self,
        examples: Sequence[Example],
        *,
        seed: int = 0,
        report: Callable[[float, float], None] = lambda share, loss: None,
    ) -> Learned:
        """Learn the look of a type.

        Args:
            examples: its labelled defects, at least one.
            seed: of all randomness.
            report: told (share of the steps, mean loss of the last ones) after each step; may raise, to end it.

        Raises:
            GeneratorError: no example has a defect that can be seen.
        """

    def paint(
        self, normal: Image, box: Box, learned: Learned, seed: int, go_on: Callable[[], None] = lambda: None
    ) -> Painted | None:
        """Paint a defect in a box of a good image; the same for the same seed.

        Args:
            normal: (H, W, 3) uint8 RGB, free of defects.
            box: inside of it.
            learned: the look, learned by this generator.
            seed: decides what comes out.
            go_on: called before each step; may raise, to end it.

        Returns:
            The image; None when nothing that can be told from the good image came out.

        Raises:
            GeneratorError: the look was learned by another generator.
        """
