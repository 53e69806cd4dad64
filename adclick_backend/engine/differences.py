"""What differs between an image and each of its most similar references, one by one, for a person to look at."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adclick_backend.engine.bank import ImageKey, Load, ReferenceBank
from adclick_backend.engine.prepared_images import PreparedImages

if TYPE_CHECKING:
    from model.features.encoding import Encoded
    from model.interactive.predictor import Predictor

STRIKING = 16.0
"""So many times the usual residual energy is the hottest colour; what is usual between two good images has none."""


@dataclass(frozen=True)
class Difference:
    """What one reference says about an image.

    Attributes:
        reference: SHA-256 of the reference's file.
        map: (h, w) float32 in [0, 1] on the stride-8 grid of the working frame, which covers the whole image: 0 where
            the difference is no larger than usual, 1 from `STRIKING` times that on, logarithmic in between.
    """

    reference: str
    map: NDArray[np.float32]


def find_differences(
    images: PreparedImages,
    model: Callable[[], Predictor],
    preparing: ThreadPoolExecutor,
    key: ImageKey,
    bank: ReferenceBank,
    load: Load,
    give_way: Callable[[], None],
) -> list[Difference]:
    """Match an image with each of the references that it is most like, the most similar first.

    All maps are on one scale. What is usual is measured between the two most similar references; with a single one it
    is what most of the image differs by.

    Args:
        images: opens images.
        model: gives the network, loading it if need be.
        preparing: the thread that computes; each match is a piece of work of its own.
        key: the image.
        bank: its references, itself not among them.
        load: reads the image (H, W, 3) uint8 RGB.
        give_way: called before each piece of work; returns when nobody waits for the thread.
    """
    opened = images.open(key, bank, load, {})
    if not opened.nearest:
        return []
    scene = preparing.submit(images.scene, key, bank, load, opened, bank.product).result()
    energies = []
    for reference in scene.references:
        give_way()
        energies.append(preparing.submit(_energy, model(), scene.image, reference).result())
    if len(scene.references) > 1:
        give_way()
        between = preparing.submit(_energy, model(), *reversed(scene.references[:2])).result()
    else:
        between = energies[0]
    usual = max(float(np.quantile(between, 0.95)), 1e-6)
    return [
        Difference(sha, _striking(energy / usual))
        for sha, energy in zip(opened.nearest, energies, strict=True)
    ]


def _striking(ratio: NDArray[np.float32]) -> NDArray[np.float32]:
    """How striking so many times the usual energy is, in [0, 1]; see `Difference.map`."""
    logarithm = np.log(np.maximum(ratio, 1.0)) / np.log(STRIKING)
    return np.asarray(np.minimum(logarithm, 1.0), np.float32)


def _energy(predictor: Predictor, image: Encoded, reference: Encoded) -> NDArray[np.float32]:
    """(h, w) residual energy of an image against one reference, on the stride-8 grid."""
    import torch

    from model.matching.residual import match
    from model.matching.retrieval import Retrieved

    with torch.inference_mode():
        against = Retrieved([reference.to(predictor.device)])
        found = match(image.to(predictor.device), against, config=predictor.config.matching)
    return np.asarray(found.energies["joint"][0, 0].float().cpu().numpy(), np.float32)
