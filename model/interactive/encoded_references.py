"""A reference bank held in memory: encoded references of one product, and the images matched with them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from model.evidence.prepared import Prepared
from model.features.encoding import Encoded
from model.interactive.predictor import Predictor

Image = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB."""

MEASURED = 4
"""References whose residual energies say what is usual in a bank."""


def fingerprint(references: Sequence[Image]) -> str:
    """Changes when a reference comes or goes: samples compared with another bank must not be used again."""
    return sha256(b"".join(sha256(pixels.tobytes()).digest() for pixels in references)).hexdigest()[:12]


class EncodedReferences:
    """The references of one product, encoded."""

    def __init__(self, predictor: Predictor, references: Sequence[Image]):
        self.predictor, self.pixels = predictor, references
        encoded = [predictor.encode(pixels) for pixels in references]
        self.descriptors = np.array([e.descriptor.cpu().numpy() for e in encoded], np.float32)
        # the finest level is the largest, and matching does not use it
        self.encoded = [
            Encoded(e.colour, {s: m for s, m in e.pyramid.items() if s > 2}, e.descriptor) for e in encoded
        ]
        self.normal = self._usual()

    def _usual(self) -> dict[str, float] | None:
        """What residual energies are usual; None for fewer than two references."""
        if len(self.encoded) < 2:
            return None
        found = [
            self.predictor.usual(image, self.nearest(image, i))
            for i, image in enumerate(self.encoded[:MEASURED])
        ]
        return {name: sum(f[name] for f in found) / len(found) for name in found[0]}

    def nearest(self, image: Encoded, host: int | None) -> list[Encoded]:
        """The references that an image is compared with, without the one it is, or is made of."""
        if not self.encoded:
            return []
        order = self.predictor.retrieve(image.descriptor.cpu().numpy(), self.descriptors, host)
        return [self.encoded[i] for i in order]

    def prepare(self, pixels: Image, host: int | None = None) -> Prepared:
        """Compare an image (H, W, 3) with the bank; ``host``: the reference it is, or is made of."""
        image = self.predictor.encode(pixels)
        return self.predictor.prepare(image, self.nearest(image, host), self.normal)
