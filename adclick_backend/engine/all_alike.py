"""The answer to a click that asks for every place that is alike, as it leaves the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adclick_backend.engine.bank import EngineError
from adclick_backend.engine.prepared_images import Opened
from model.clicks import Click

if TYPE_CHECKING:
    from model.interactive.alike import AllAlike, AnswerTo
    from model.interactive.answer import Look
    from model.interactive.elsewhere import Sample
    from model.interactive.predictor import Predictor


@dataclass(frozen=True)
class AlikePart:
    """One place.

    Attributes:
        box: rows and columns in the image, pixels.
        mask: (h, w) bool, of the box.
        score: expected IoU of the mask times how like it is to what was clicked, in [0, 1].
    """

    box: tuple[slice, slice]
    mask: NDArray[np.bool_]
    score: float

    def whole(self, height: int, width: int) -> NDArray[np.bool_]:
        """Its mask in the whole image, (height, width) bool."""
        whole = np.zeros((height, width), bool)
        whole[self.box] = self.mask
        return whole


@dataclass(frozen=True)
class AlikeParts:
    """All places.

    Attributes:
        parts: those that were clicked first, then the likest; () when nothing is there.
        size: height and width of the image, pixels.
        probability: (h, w) float32 in [0, 1], in the model's working frame, of all of them together.
        milliseconds: what the parts of the answer took, by name.
    """

    parts: tuple[AlikePart, ...]
    size: tuple[int, int]
    probability: NDArray[np.float32]
    milliseconds: dict[str, float]

    @classmethod
    def of(cls, found: AllAlike, milliseconds: dict[str, float]) -> AlikeParts:
        """What the model found."""
        parts = tuple(
            AlikePart(alike.part.box, alike.part.mask, alike.likeness * alike.part.expected_iou)
            for alike in found.found
        )
        size = found.frame.image_height, found.frame.image_width
        return cls(parts, size, found.probability(), milliseconds)

    @property
    def score(self) -> float:
        """The mean over the parts, each weighing as much as it covers, in [0, 1]; 0 without any."""
        areas = [float(part.mask.sum()) for part in self.parts]
        return sum(part.score * area for part, area in zip(self.parts, areas, strict=True)) / max(
            sum(areas), 1.0
        )

    def mask(self) -> NDArray[np.bool_]:
        """All of them together, (H, W) bool."""
        mask = np.zeros(self.size, bool)
        for part in self.parts:
            mask[part.box] |= part.mask
        return mask


def look_for_alike(
    network: Predictor,
    opened: Opened,
    clicks: Sequence[Click],
    answer_to: AnswerTo,
    look: Look,
    phrases: Sequence[str],
) -> AllAlike:
    """Every place of an opened image that is like the clicked ones; computes in the thread that calls.

    Raises:
        EngineError: the network compares no features.
    """
    from model.interactive.alike import find_alike
    from model.interactive.parts import View

    _check(opened)
    whole = View(opened.prepared, opened.frame)
    return find_alike(network, whole, clicks, answer_to, look, network.words(phrases))


def samples_in(opened: Opened, mask: NDArray[np.bool_], most: int) -> list[Sample]:
    """What the largest parts of a mask (H, W) of an opened image look like."""
    from model.interactive.elsewhere import samples_of

    _check(opened)
    return samples_of(opened.prepared, opened.frame, mask, most)


def look_for_samples(network: Predictor, opened: Opened, samples: Sequence[Sample], look: Look) -> AllAlike:
    """Every place of an opened image that is like a sample; computes in the thread that calls."""
    from model.interactive.elsewhere import find_like
    from model.interactive.parts import View

    _check(opened)
    return find_like(network, View(opened.prepared, opened.frame), samples, look)


def _check(opened: Opened) -> None:
    if not opened.prepared.levels:
        raise EngineError(
            "Places that are alike cannot be looked for with this click network, which compares no features: start the "
            "backend without ADCLICK_CHECKPOINT, or click with a label that has no ending in brackets."
        )
