"""The words of each defect type, as states of a text encoder: what the pixels of ADClick-Seg attend to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from model.language.encoders import TextEncoder, average, random_or_average


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

    def drawn(self, names: Sequence[str], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Training's words of some types, (B, T, D) and (B, T): half the time of one phrase, else of all."""
        states, present = zip(*(random_or_average(*self.words[name], rng) for name in names), strict=True)
        return torch.stack(states), torch.stack(present)

    def averages(self, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The words of some types as they are used, (B, T, D) and (B, T): the mean over the phrases (Eq. 6)."""
        states, present = zip(*(average(*self.words[name]) for name in names), strict=True)
        return torch.stack(states), torch.stack(present)
