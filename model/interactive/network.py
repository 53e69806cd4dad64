"""What the rest of the model asks of a click network, whatever its size."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from model.evidence.prepared import Prepared
from model.features.encoding import Encoded
from model.language.vocabulary import Words
from model.matching.nearest import MATCHING, MatchingConfig
from model.matching.retrieval import Retrieved


class ClickNetwork(nn.Module, ABC):
    """Ψ of Eq. 1: says itself what it is shown, and answers with logits (B, 1, 2h, 2w) when called with that.

    Attributes:
        dropout: share of what it is shown that it goes without in training.
        hears: D, width of the words' states that tell it what the clicked defect is called; 0: it is told nothing.
    """

    dropout = 0.0
    hears = 0

    @abstractmethod
    def prepare(
        self,
        image: Encoded,
        compared: Retrieved,
        normal: dict[str, float] | None,
        itself: bool = False,
        matching: MatchingConfig = MATCHING,
    ) -> Prepared:
        """Compare an image with references and assemble all that does not depend on clicks.

        Args:
            image: the image.
            compared: its references; the image itself when there is none.
            normal: what is usual among the references (:func:`model.evidence.prepared.normal_levels`), if known.
            itself: whether the image is compared with itself.
            matching: how places are matched.
        """

    @abstractmethod
    def inputs(
        self, prepared: Prepared, clicks: Tensor, previous: Tensor, words: Words | None = None
    ) -> tuple[Tensor, ...]:
        """The arguments of a call of the network.

        Args:
            prepared: B images of one size.
            clicks: (B, N, 3) float32: x, y on the stride-2 grid (cell i covers [i, i + 1)), and +1 for "this", -1 for
                "not this", 0 for padding.
            previous: (B, 1, h, w) on the stride-2 grid: the probability map so far, in [0, 1].
            words: for the clicked defects, where the network hears; None: nobody said what they are called.
        """
