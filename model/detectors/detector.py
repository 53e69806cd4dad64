"""One protocol for whatever makes an anomaly map of an image and was fitted to good images alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from model.checkpoint.backbone_id import BackboneId
from model.evidence.prepared import Prepared
from model.features.encoding import Encoded


@dataclass(frozen=True)
class Scene:
    """An image as one backbone sees it, beside the good images that it is compared with.

    Attributes:
        product: of the image; "" where there is but one.
        frame: the working frame of the image.
        image: its features.
        references: the most similar good images of the product, the most similar first: never the image itself, nor
            the one that a defect was drawn on to make it. May be empty.
        prepared: the image matched with them; None behind a backbone that the click network does not see with.
    """

    product: str
    frame: Frame
    image: Encoded
    references: Sequence[Encoded]
    prepared: Prepared | None = None


class Found(NamedTuple):
    """What a detector says of an image.

    Attributes:
        map: (h, w) float32 >= 0 of the whole working frame, at any size: how unlike good images each place is, in
            units of the detector's own.
        score: the same of the whole image, by the rule of the detector's paper.
    """

    map: NDArray[np.float32]
    score: float


class Detector(Protocol):
    """A source of anomaly maps.

    Attributes:
        name: of the method and its size, ``invad-tiny`` for one.
        backbone_id: the backbone whose features it must be given.
        long_side: longer side of the working frame whose features it must be given, pixels.
        needs: how many references of the product a scene must have for it, 0 for a detector that looks at the image
            alone.
    """

    name: str
    backbone_id: BackboneId
    long_side: int
    needs: int

    def look(self, scene: Scene) -> Found:
        """The anomaly map of an image.

        Raises:
            ValueError: the scene lacks something that this detector needs; the sentence says what.
        """
