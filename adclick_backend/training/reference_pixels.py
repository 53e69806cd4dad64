"""The pixels of references that a training draws from, as far as memory goes."""

from __future__ import annotations

import logging
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from adclick_backend.errors import ImageError
from adclick_backend.training.training_set import KeptImage, TrainingSet

log = logging.getLogger(__name__)

References = dict[str, dict[str, NDArray[np.uint8]]]

REFERENCE_MB = 400
"""Memory for the pixels of references while training; what a trainer draws from, not the bank that serves."""

FEWEST = 4
"""References of a product that stay, whatever is held out and however large they are."""


def read_references(data: TrainingSet, held_out: Collection[str] = ()) -> References:
    """The pixels of references, product by product, until `REFERENCE_MB` are full; unreadable ones are left out.

    Args:
        data: the training set.
        held_out: names of images that must not be trained on; they stay when a product has hardly any other.

    Returns:
        Product -> SHA-256 -> (H, W, 3) uint8 RGB.
    """
    found: References = {product: {} for product in data.references}
    room = REFERENCE_MB << 20
    for product, images in data.references.items():
        share = room // len(data.references)
        for image in _allowed(images, held_out):
            try:
                pixels = image()
            except ImageError as error:
                log.warning("The reference %s was left out: %s", image.sha[:12], error)
                continue
            share -= pixels.nbytes
            if share < 0 and len(found[product]) >= FEWEST:
                break
            found[product][image.sha] = pixels
    return found


def _allowed(images: list[KeptImage], held_out: Collection[str]) -> list[KeptImage]:
    others = [image for image in images if image.sha not in held_out]
    return others if len(others) >= FEWEST else images
