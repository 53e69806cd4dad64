"""The words of each defect type, as states of a text encoder: what the pixels of networks that hear attend to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from model.language.encoders import TextEncoder, average, random_or_average, text_encoder
from model.language.prompts import builtin_prompts

NAMELESS = "NG"
"""What a defect is called where one label stands for all."""


class Words(NamedTuple):
    """What B images are described with.

    Attributes:
        states: (B, T, D) float32, of a text encoder.
        present: (B, T) float32 in [0, 1], how much of a word there is.
    """

    states: Tensor
    present: Tensor

    def of(self, rows: Sequence[int]) -> Words:
        """The words of some of the images."""
        return Words(self.states[rows], self.present[rows])

    def to(self, device: torch.device) -> Words:
        """The same on another device."""
        return Words(self.states.to(device), self.present.to(device))


class Vocabulary:
    """The words of all types of a project.

    Args:
        encoder: of the phrases.
        phrases: defect type -> phrases, at least one each.

    Attributes:
        encoder: its name.
        width: of its states.
        words: defect type -> states (N, T, D) of its phrases and which of them are words (N, T).
    """

    def __init__(self, encoder: TextEncoder, phrases: Mapping[str, Sequence[str]]):
        self.encoder, self.width = encoder.name, encoder.width
        self.words = {name: encoder.encode(list(lines)) for name, lines in phrases.items()}

    def drawn(self, names: Sequence[str], rng: np.random.Generator) -> Words:
        """Training's words of some types: half the time of one phrase, else of all."""
        states, present = zip(*(random_or_average(*self.words[name], rng) for name in names), strict=True)
        return Words(torch.stack(states), torch.stack(present))

    def averages(self, names: Sequence[str]) -> Words:
        """The words of some types as they are used: the mean over the phrases (Eq. 6)."""
        states, present = zip(*(average(*self.words[name]) for name in names), strict=True)
        return Words(torch.stack(states), torch.stack(present))


def builtin_vocabulary(kinds: Iterable[str]) -> Vocabulary:
    """The built-in sentences for these kinds of defects, and for a nameless one."""
    return Vocabulary(text_encoder(), {kind: builtin_prompts(kind) for kind in sorted({NAMELESS, *kinds})})
