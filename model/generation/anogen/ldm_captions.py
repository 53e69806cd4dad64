"""Captions in which one word is the vector of a defect type: textual inversion (Gal et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

WORD = "<adclick-type>"
"""What stands for the vector in a caption."""

FIRST = "defect"
"""The word whose embedding the vector starts from."""

CAPTIONS = (
    "{}",
    "a {}",
    "a photo of a {}",
    "a close-up of a {}",
    "a macro photo of a {}",
    "a {} seen by an inspection camera",
    "a surface with a {}",
    "a part with a {} on it",
    "a product with a {}",
    "a {} in the middle of the picture",
    "a sharp picture of a {}",
    "a dark picture of a {}",
    "a bright picture of a {}",
    "a blurred picture of a {}",
    "one {}",
    "the {}",
    "a clear {}",
    "a typical {}",
    "a {} on a manufactured part",
    "what a {} looks like",
)
"""With the place of the word; so that the vector learns the defect, and not one sentence."""


class Captions:
    """A frozen text encoder and its tokenizer, for captions with the vector of a type.

    The vector takes the place of the word's embedding on its way into the encoder: the table of embeddings stays as
    it is, and the vector is all that a gradient reaches.

    Args:
        tokenizer: of transformers; it is taught `WORD`.
        encoder: a text encoder of transformers, frozen, in evaluation mode.
    """

    def __init__(self, tokenizer: Any, encoder: Any):
        self.tokenizer, self.encoder = tokenizer, encoder
        self.tokenizer.add_tokens([WORD])
        self.word = int(self.tokenizer.convert_tokens_to_ids(WORD))
        self.table = encoder.get_input_embeddings()
        self.length = min(int(tokenizer.model_max_length), int(encoder.config.max_position_embeddings))

    def first(self) -> Tensor:
        """The embedding of `FIRST`, (V,) float32; the mean of its pieces where it has several."""
        pieces = self.tokenizer(FIRST, add_special_tokens=False).input_ids
        rows: Tensor = self.table.weight[pieces]
        return rows.detach().float().mean(0)

    def states(self, captions: Sequence[str], vector: Tensor) -> Tensor:
        """What the denoiser is told.

        Args:
            captions: B texts, with or without `WORD`.
            vector: (V,), of a type.

        Returns:
            (B, L, D) in the encoder's number format.
        """
        told = self.tokenizer(
            list(captions),
            padding="max_length",
            max_length=self.length,
            truncation=True,
            return_tensors="pt",
        )
        ids = told.input_ids.to(self.table.weight.device)
        here = ids == self.word

        def placed(module: Any, given: Any, found: Tensor) -> Tensor:
            return torch.where(here[..., None], vector.to(found.dtype), found)

        hook = self.table.register_forward_hook(placed)
        try:
            states: Tensor = self.encoder(ids.masked_fill(here, 0))[0]
        finally:
            hook.remove()
        return states
