"""A small click network that attends to what the defect is called (Eq. 6), to measure what that is worth to it.

The packaged click networks hear no words: given the true name or one that says nothing, this one draws the same masks
(see the ablations in the model card).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from model.evidence.prepared import Prepared
from model.interactive.lite import LiteClickNetwork, LiteConfig
from model.language.attention import PixelWordAttention
from model.language.encoders import WIDTH
from model.language.vocabulary import Vocabulary, Words
from model.training.interactive.batches import Batch, ClickTraining, SampleFiles

WORD_LEVEL = 2
"""Number of the features that attend to words: stride 8, as in ADClick-Seg."""


class TextConditionedNetwork(LiteClickNetwork):
    """A click network whose places attend to words."""

    hears = WIDTH

    def __init__(self, config: LiteConfig | None = None):
        super().__init__(config)
        self.language = PixelWordAttention(self.config.widths[WORD_LEVEL])

    def inputs(
        self, prepared: Prepared, clicks: Tensor, previous: Tensor, words: Words | None = None
    ) -> tuple[Tensor, ...]:
        """See :class:`model.interactive.network.ClickNetwork`; never without words."""
        return (*super().inputs(prepared, clicks, previous), *(words or ()))

    def forward(self, evidence: Tensor, states: Tensor, present: Tensor) -> Tensor:  # type: ignore[override]
        """Logits (B, 1, 2h, 2w) from evidence (B, CHANNELS, h, w) and :class:`~model.language.vocabulary.Words`."""
        features = self.downward(evidence)
        features[WORD_LEVEL] = self.language(features[WORD_LEVEL], states, present)
        return self.up_again(features)


@dataclass(frozen=True)
class TextConditionedSamples(SampleFiles):
    """Crops with the words for their defects: half the time one phrase, else the mean of all."""

    vocabulary: Vocabulary

    def batch(self, config: ClickTraining, rng: np.random.Generator) -> Batch:
        """See :class:`model.training.interactive.batches.BatchSource`."""
        batch = super().batch(config, rng)
        batch.words = self.vocabulary.drawn(batch.kinds, rng)
        return batch
