"""What a part of a mask is like, and how like one part is to others: one number from all of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from adclick_runtime.frame import Frame
from model.evidence.prepared import RATIO_ENERGIES, Prepared, size_of
from model.interactive.likeness import Cells, Likeness, Look
from model.interactive.parts import Part


@dataclass(frozen=True)
class Weights:
    """Of a logistic regression: which of its traits make a part one of the kind.

    Fitted to the candidates of drawn products, of coffee leaves and of toy hazelnuts: an IoU with a true part above
    0.25 or not. ``adclick alike-study`` measures what comes of them.
    """

    ratio: float = 2.9  # how far its look goes in the direction of an example's
    cosine: float = 1.4  # of the angle between both
    expected: float = 2.2  # the IoU that the network expects of its mask
    larger: float = 0.7  # log of how much larger it is than the largest example
    unusual: float = 1.9  # log of how much less unusual it is than the least unusual example
    offset: float = -1.3


WEIGHTS = Weights()


@dataclass(frozen=True)
class Traits:
    """What a part is like.

    Attributes:
        look: its features, decorrelated.
        area: image pixels.
        unusual: mean log of its finest residual energy: how unlike the references it is; 0 without references, for
            parts that are alike explain each other.
    """

    look: Look
    area: int
    unusual: float


def traits_of(space: Likeness, prepared: Prepared, part: Part, frame: Frame) -> Traits:
    """What a part of a prepared image is like."""
    cells = cells_of(part, frame)
    return Traits(space.look(space.mean(cells)), part.area, unusual(prepared, cells))


def likeness(
    seen: Traits, expected_iou: float, examples: Sequence[Traits], weights: Weights = WEIGHTS
) -> float:
    """How like a part is to the examples, in [0, 1].

    Args:
        seen: the part.
        expected_iou: of its mask.
        examples: at least one.
        weights: of its traits.
    """
    value = (
        weights.ratio * min(1.5, max(one.look.ratio(seen.look) for one in examples))
        + weights.cosine * max(one.look.cosine(seen.look) for one in examples)
        + weights.expected * expected_iou
        - weights.larger * max(0.0, math.log(seen.area / max(one.area for one in examples)))
        + weights.unusual * min(0.0, seen.unusual - min(one.unusual for one in examples))
        + weights.offset
    )
    return 1.0 / (1.0 + math.exp(-float(value)))


def cells_of(part: Part, frame: Frame) -> Cells:
    """The cells of the stride-4 grid that a part covers, each weighing as much as it covers of it."""
    sx, sy = frame.scale_xy
    height, width = frame.height // 4, frame.width // 4
    rows, columns = np.nonzero(part.mask)
    y = np.minimum(((rows + part.top + 0.5) * sy / 4).astype(np.int64), height - 1)
    x = np.minimum(((columns + part.left + 0.5) * sx / 4).astype(np.int64), width - 1)
    numbers, counts = np.unique(y * width + x, return_counts=True)
    return Cells(np.asarray(numbers, np.int64), counts.astype(np.float64))


def unusual(prepared: Prepared, cells: Cells) -> float:
    """The mean log of the finest residual energy over some cells of the stride-4 grid; 0 without references."""
    if not prepared.has_references:
        return 0.0
    fine = prepared.log_energies[:, RATIO_ENERGIES.index("fine")][:, None].float()
    at = F.adaptive_avg_pool2d(fine, size_of(prepared.levels["stride4"])).flatten()
    weights = torch.from_numpy(cells.weights).float()
    return float((at[torch.from_numpy(cells.numbers)] * weights).sum() / weights.sum())
