"""Places of an image that are like masks in other images of the product, without any training.

As :mod:`model.interactive.alike`, but nobody says that there is such a place at all. So a part must also be as unusual
beside the references as the masks were: an image of a good piece has places that look a little like any defect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from adclick_runtime.frame import Frame
from model.evidence.prepared import Prepared
from model.interactive.alike import Alike, AllAlike
from model.interactive.answer import Look
from model.interactive.candidates import cut_at, likest_places
from model.interactive.likeness import ELSEWHERE, Likeness
from model.interactive.mask import Mask
from model.interactive.parts import View, boxed, distinct
from model.interactive.predictor import Predictor
from model.interactive.traits import Traits, cells_of, likeness, traits_of, unusual
from model.language.vocabulary import Words
from model.metrics.parts import parts_of


@dataclass(frozen=True)
class ElsewhereConfig:
    """What counts as like a mask of another image."""

    least: float = 0.3  # likeness of a place from which on it is clicked
    most: int = 24  # places that are clicked
    accepted: float = 0.9
    covered: float = 0.3
    windows: int = 4


CONFIG = ElsewhereConfig()

SMALLEST = 12
"""Image pixels of a part of a mask that serves as an example."""


@dataclass(frozen=True)
class Sample:
    """One part of a mask, as it is remembered to be looked for elsewhere.

    Attributes:
        mean: (D,) how it differs from its image on the whole.
        area: image pixels.
        extent: longer side of the box round it, image pixels.
        unusual: mean log of its finest residual energy.
    """

    mean: Tensor
    area: int
    extent: float
    unusual: float


def samples_of(prepared: Prepared, frame: Frame, mask: Mask, most: int) -> list[Sample]:
    """The largest parts of a mask.

    Args:
        prepared: the image, matched with its references.
        frame: its working frame.
        mask: (frame.image_height, frame.image_width) bool.
        most: so many parts at most.

    Raises:
        ValueError: the network compares no features (the ``base`` preset).
    """
    if not prepared.levels:
        raise ValueError("This click network does not compare places by their features.")
    space = Likeness(prepared, ELSEWHERE)
    found = sorted(parts_of(mask, SMALLEST), key=lambda part: -int(part.sum()))[:most]
    samples = []
    for pixels in found:
        part = boxed(pixels, pixels.astype(np.float32), 1.0)
        cells = cells_of(part, frame)
        samples.append(
            Sample(space.mean(cells), part.area, float(max(part.mask.shape)), unusual(prepared, cells))
        )
    return samples


@torch.inference_mode()
def find_like(
    predictor: Predictor,
    whole: View,
    samples: Sequence[Sample],
    look: Look,
    words: Words | None = None,
    config: ElsewhereConfig = CONFIG,
) -> AllAlike:
    """Every part of an image that is like one of the samples, the likest first; none for most good images.

    Args:
        predictor: the network.
        whole: the whole image, matched with references of the same product.
        samples: of other images; at least one.
        look: opens a window of the image, where the samples are small.
        words: for the defect.
        config: what counts as alike.
    """
    space = Likeness(whole.prepared, ELSEWHERE)
    looks = [space.look(sample.mean) for sample in samples]
    areas = [sample.area for sample in samples]
    points = likest_places(space.to(looks), areas, whole.frame, config.least, config.most)
    extent = max(sample.extent for sample in samples)
    known = [Traits(one, sample.area, sample.unusual) for one, sample in zip(looks, samples, strict=True)]
    found = []
    for part in cut_at(predictor, whole, points, extent, look, words, config.windows):
        seen = traits_of(space, whole.prepared, part, whole.frame)
        value = likeness(seen, part.expected_iou, known)
        if value >= config.accepted:
            found.append(Alike(part, value))
    found.sort(key=lambda alike: -alike.likeness)
    shape = whole.frame.image_height, whole.frame.image_width
    kept = distinct([alike.part for alike in found], shape, config.covered)
    return AllAlike(whole.frame, tuple(found[number] for number in kept))
