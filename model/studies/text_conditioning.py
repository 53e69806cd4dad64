"""A text-conditioned click network, which attends to what the defect is called (Eq. 6), to measure what that is worth.

The packaged click networks are not text-conditioned: given the true name or one that says nothing, this one draws the
same masks (see the ablations in the model card).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from model.evidence.prepared import Prepared
from model.interactive.lite import LiteClickNetwork, LiteConfig
from model.language.attention import PixelWordAttention
from model.language.encoders import text_encoder
from model.language.prompts import builtin_prompts
from model.language.vocabulary import Vocabulary
from model.training.interactive.batches import Batch, ClickTraining, SampleFiles

NAMELESS = "NG"
"""What a defect is called in a project that has one label for all."""

WORD_LEVEL = 2
"""Number of the features that attend to words: stride 8, as in ADClick-Seg."""

WORDS = "words"
"""Where the words of an image are kept among its levels: (B, T, D + 1), states and how much of a word there is."""


class TextConditionedNetwork(LiteClickNetwork):
    """A click network whose places attend to words."""

    def __init__(self, config: LiteConfig | None = None):
        super().__init__(config)
        self.language = PixelWordAttention(self.config.widths[WORD_LEVEL])

    def inputs(self, prepared: Prepared, clicks: Tensor, previous: Tensor) -> tuple[Tensor, ...]:
        """See :class:`model.interactive.network.ClickNetwork`."""
        return (*super().inputs(prepared, clicks, previous), prepared.levels[WORDS])

    def forward(self, evidence: Tensor, words: Tensor) -> Tensor:  # type: ignore[override]
        """Logits (B, 1, 2h, 2w) from evidence (B, CHANNELS, h, w) and words (B, T, D + 1)."""
        features = self.downward(evidence)
        features[WORD_LEVEL] = self.language(features[WORD_LEVEL], words[..., :-1], words[..., -1])
        return self.up_again(features)


def with_words(prepared: Prepared, states: Tensor, present: Tensor) -> Prepared:
    """The same images with the words (B, T, D) for their defects, of which (B, T) says how much of a word there is."""
    words = torch.cat([states, present[..., None]], 2)
    return replace(prepared, levels={**prepared.levels, WORDS: words})


@dataclass(frozen=True)
class TextConditionedSamples(SampleFiles):
    """Crops with the words for their defects: half the time one phrase, else the mean of all."""

    vocabulary: Vocabulary

    def batch(self, config: ClickTraining, rng: np.random.Generator) -> Batch:
        """See :class:`model.training.interactive.batches.BatchSource`."""
        batch = super().batch(config, rng)
        batch.prepared = with_words(batch.prepared, *self.vocabulary.drawn(batch.kinds, rng))
        return batch


def vocabulary_of(kinds: Iterable[str]) -> Vocabulary:
    """The built-in sentences for these kinds of defects, and for a nameless one."""
    return Vocabulary(text_encoder(), {kind: builtin_prompts(kind) for kind in sorted({NAMELESS, *kinds})})
