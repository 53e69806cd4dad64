"""From maps of defect types to the regions that a person is shown before the first click."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.expected import expected_iou, sigmoid

if TYPE_CHECKING:
    from adclick_runtime.frame import Frame

Map = NDArray[np.float32]

SMOOTHING = 1.0
"""Standard deviation, in working pixels, of the blur of the logits: masks without frayed edges. The maps are smooth
already, so a little is enough, and a hairline stays."""

SURE_AREA = 160.0
"""Working pixels from which a part needs no more than the threshold; the smaller a part, the surer it has to be."""

SPECK_PROBABILITY = 0.95
"""What the surest pixel of a part that has next to no area must reach."""

THINNEST = 1.5
"""Working pixels from the middle of a part to its border below which it is a thread ..."""

THREAD_AREA = 48
"""... and is only kept as a scratch or a hair when it covers so many working pixels."""

LARGEST_HOLE = 0.1
"""Holes smaller than this share of a mask are closed."""

SURROUNDINGS = 12
"""Working pixels round a mask whose probabilities count against it, for they may belong to it as well."""

JOINED = 8
"""Parts of a mask no more working pixels apart are one: a scratch that the map shows in pieces is one scratch."""

MOST_PARTS = 12
"""Regions of an image, the surest ones: who would have to judge more looks at the image instead."""


@dataclass(frozen=True)
class Region:
    """One part of a defect type found in an image: what a person accepts or rejects at once.

    Attributes:
        type: defect type; `DEFECT` when nobody said which.
        mask: (H, W) bool in image pixels, not empty.
        score: the IoU that the mask has if the probabilities are right, in [0, 1].
    """

    type: str
    mask: NDArray[np.bool_]
    score: float


@dataclass(frozen=True)
class Proposals:
    """What is proposed for an image before anyone clicked.

    Attributes:
        regions: one for each part of each defect type found, the surest first; empty when nothing was found.
        score: certainty in [0, 1], see `certainty`; sorted upwards, what a person should look at comes first.
        source: what the maps came from, by name: a project's trained version, the packaged segmentation network, the
            residual against the references alone, detectors; "none" when there was nothing to judge the image by.
        size: height and width of the image in pixels.
    """

    regions: tuple[Region, ...]
    score: float
    source: str
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes, roughly."""
        return 256 + sum(region.mask.nbytes for region in self.regions)


def propose(maps: Mapping[str, Map], frame: Frame) -> tuple[list[Region], float]:
    """One region for each part of each defect type found, and how certain all that is.

    Every pixel goes to its most probable type (Eq. 7 takes the maximum over the types). A mask is cut at 0.5 out of
    the smoothed logits, loses its specks, its noise in threads and its small holes, and is enlarged smoothly. What is
    more than `JOINED` apart in it is a region of its own.

    Args:
        maps: defect type -> calibrated probability (frame.height, frame.width) float32 in [0, 1].
        frame: the working frame of the maps.

    Returns:
        At most `MOST_PARTS` regions, the surest first, and the score of the image (`certainty`).
    """
    if not maps:
        return [], 0.0
    logits = np.stack([_smoothed(probability) for probability in maps.values()])
    parts: list[_Part] = []
    scores = []
    for number, name in enumerate(maps):
        lead, probability = _lead(logits, number), sigmoid(logits[number])
        inside = _closed(_defects(lead > 0, logits[number]))
        if inside.any():
            parts += _parts(inside, lead, probability, name, frame)
            scores.append(_expected_iou(probability, inside))
    highest = float(sigmoid(logits.max(axis=0)).max())
    parts.sort(key=lambda part: -part.score)
    regions = [region for part in parts[:MOST_PARTS] if (region := part.region()).mask.any()]
    return regions, certainty(highest, scores)


@dataclass(frozen=True)
class _Part:
    """A part of the mask of one type: its number in ``groups`` of the working frame, and its expected IoU."""

    type: str
    number: int
    score: float
    groups: NDArray[np.int32]
    mask: NDArray[np.bool_]  # of the whole type, in image pixels

    def region(self) -> Region:
        size = self.mask.shape[1], self.mask.shape[0]
        own = cv2.resize((self.groups == self.number).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        return Region(self.type, np.asarray(self.mask & (own > 0)), self.score)


def _parts(
    inside: NDArray[np.bool_], lead: Map, probability: Map, name: str, frame: Frame
) -> Iterator[_Part]:
    """The parts of the mask of one type; together they are what the whole mask becomes in the image."""
    cut = np.where(inside, np.maximum(lead, 0.05), np.minimum(lead, -0.05)).astype(np.float32)
    size = frame.image_width, frame.image_height
    mask = np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_LINEAR) > 0)
    side = JOINED + 1
    near = cv2.dilate(inside.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    count, found, boxes, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    groups = np.asarray(found, np.int32)
    for number, (left, top, width, height, _) in enumerate(boxes[1:count], 1):
        place = (
            slice(max(top - SURROUNDINGS, 0), top + height + SURROUNDINGS),
            slice(max(left - SURROUNDINGS, 0), left + width + SURROUNDINGS),
        )
        own = inside[place] & (groups[place] == number)
        # The others are no border of this one.
        alone = np.where(inside[place] & ~own, np.float32(0), probability[place])
        yield _Part(name, number, _expected_iou(alone, own), groups, mask)


def _lead(logits: Map, number: int) -> Map:
    """By how much one type leads the threshold and every other type; of equal ones the first leads."""
    rivals = logits.copy()
    rivals[number + 1 :] -= 1e-3
    rivals[number] = 0.0
    return np.asarray(np.minimum(logits[number], logits[number] - rivals.max(axis=0)), dtype=np.float32)


def certainty(probability: float, scores: list[float]) -> float:
    """How certain a proposal is, made for sorting by uncertainty: the lowest is the most worth a person's look.

    With p the highest probability of a defect anywhere in the image:

    * nothing found: ``1 - 2 min(p, 1/2)``; 1 for a clean image, 0 when a defect was missed by a hair or was too
      small to be believed;
    * something found: ``min(2 p - 1, scores)``; 0 when it was found by a hair, and never above the expected IoU of
      its most doubtful mask.

    Args:
        probability: p, in [0, 1].
        scores: expected IoU of the whole mask of each type found, in [0, 1].

    Returns:
        In [0, 1].
    """
    if not scores:
        return 1.0 - 2.0 * min(max(probability, 0.0), 0.5)
    return float(np.clip(min(2.0 * probability - 1.0, *scores), 0.0, 1.0))


def _smoothed(probability: Map) -> Map:
    clipped = np.clip(probability, 1e-4, 1 - 1e-4)
    logits = np.log(clipped / (1 - clipped)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(logits, (0, 0), SMOOTHING), dtype=np.float32)


def _defects(inside: NDArray[np.bool_], logits: Map) -> NDArray[np.bool_]:
    """What is left of a mask without the parts that are more likely noise than a defect."""
    _, found, statistics, _ = cv2.connectedComponentsWithStats(inside.astype(np.uint8), connectivity=8)
    labels = np.asarray(found, dtype=np.int64)
    area = statistics[:, cv2.CC_STAT_AREA].astype(np.float32)
    surest, thickness = np.zeros(len(area)), np.zeros(len(area))
    np.maximum.at(
        surest, labels[inside], sigmoid(logits[inside])
    )  # outside it would take longer than all the rest
    # The image's border is no border of a part: a defect that leaves the image is not thin there.
    padded = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    np.maximum.at(
        thickness, labels[inside], cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1][inside]
    )
    needed = 0.5 + (SPECK_PROBABILITY - 0.5) * np.maximum(1 - area / SURE_AREA, 0)
    kept = (surest >= needed) & ((thickness >= THINNEST) | (area >= THREAD_AREA))
    kept[0] = False  # what lies outside the mask
    return np.asarray(kept[labels])


def _closed(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask without its small holes; what touches the image's border is no hole."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats((~inside).astype(np.uint8), connectivity=4)
    hole = statistics[:, cv2.CC_STAT_AREA] < LARGEST_HOLE * inside.sum()
    hole[0] = False
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    hole[np.unique(border)] = False
    return np.asarray(inside | hole[labels])


def _expected_iou(probability: Map, inside: NDArray[np.bool_]) -> float:
    """The IoU to expect of a mask that is not empty, in [0, 1].

    Only the surroundings of the mask count besides it: the faint probabilities of a whole image add up to more than a
    small defect has pixels, and say nothing about its border.
    """
    side = 2 * SURROUNDINGS + 1
    near = cv2.dilate(inside.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    return expected_iou(np.where(near, probability, np.float32(0)), inside)
