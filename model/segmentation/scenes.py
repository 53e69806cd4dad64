"""Images beside the references of their product, as detectors are shown them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from adclick_runtime.frame import Frame
from model.detectors.detector import Scene
from model.detectors.eyes import Eyes, Image
from model.features.encoding import Encoded
from model.interactive.config import ClickConfig
from model.interactive.encoded_references import EncodedReferences
from model.interactive.predictor import Predictor
from model.matching.retrieval import retrieve


class Scenes:
    """The references of some products, encoded once, and the scenes of images of these products.

    Args:
        eyes: what sees them; where it is a `Predictor`, images are also matched with their references.
        references: product -> its good images.
    """

    def __init__(self, eyes: Eyes, references: Mapping[str, Sequence[Image]]):
        self._eyes = eyes
        self._predictor = eyes if isinstance(eyes, Predictor) else None
        self._matched: dict[str, EncodedReferences] = {}
        self._encoded: dict[str, list[Encoded]] = {}
        for product, images in references.items():
            if self._predictor is not None:
                self._matched[product] = EncodedReferences(self._predictor, images)
            else:
                self._encoded[product] = [eyes.encode(image) for image in images]

    def references(self, product: str) -> Sequence[Encoded]:
        """All encoded references of a product."""
        if self._predictor is not None:
            return self._matched[product].encoded if product in self._matched else []
        return self._encoded.get(product, [])

    def of(self, image: Image, product: str = "", host: int | None = None) -> Scene:
        """The scene of an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            product: whose references it is compared with.
            host: place of the image itself among them, or of the one that it was made of by drawing on it.
        """
        return self.encoded(self._eyes.encode(image), image.shape[:2], product, host)

    def encoded(
        self, image: Encoded, size: tuple[int, int], product: str = "", host: int | None = None
    ) -> Scene:
        """The same of an image of the height and width ``size`` that is encoded already."""
        frame = Frame.of(*size, self._eyes.long_side)
        if self._predictor is None:
            return Scene(product, frame, image, self._nearest(image, product, host))
        bank = self._matched.get(product)
        nearest = [] if bank is None else bank.nearest(image, host)
        prepared = self._predictor.prepare(image, nearest, None if bank is None else bank.normal)
        return Scene(product, frame, image, nearest, prepared)

    def _nearest(self, image: Encoded, product: str, host: int | None) -> list[Encoded]:
        bank = self._encoded.get(product, [])
        if not bank:
            return []
        most = ClickConfig().nearest_references
        order = retrieve(image.descriptor, torch.stack([r.descriptor for r in bank]), most + 1)
        return [bank[i] for i in order if i != host][:most]
