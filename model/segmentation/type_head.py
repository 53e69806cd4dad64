"""Which type a found defect is of: a linear classifier over what a region looks like, learned in a second per project.

The maps of the types (Eq. 7) hardly differ after a short training, for the words only steer them; the look of a region
against its surroundings and against the references tells types apart from a handful of labelled images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from model.labels.labelled import Kind
from model.segmentation.inputs import VIEWS
from model.segmentation.network import SegConfig

MAPS = ("relative", "vectors", *VIEWS)

NEIGHBOURHOOD = 20
"""Working pixels round a region that it is contrasted with."""

JOINED = 8
"""Parts of a map that lie no further apart, in working pixels, are one region: a scratch often falls apart."""

MOST_REGIONS = 16
"""Regions of an image that are looked at, the largest."""

SHAPE_NUMBERS = 5
"""How many numbers say what shape a region has."""

NOISE = 1.0
"""Added to the spread of every number over the labelled regions: the maps have unit variance over an image, and what
differs by little of that among a few regions differs by chance."""

SHRINKAGE = 3e-3
"""Weight of the squared coefficients beside the cross-entropy: there are more numbers than labelled regions."""


class TypeHead(nn.Module):
    """Describes a region and names its type.

    Args:
        numbers: length of a description (:func:`describe`).
        types: K, how many types there are.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, numbers: int, types: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("scale", torch.ones(numbers))
        self.linear = nn.Linear(numbers, types)

    def forward(self, descriptions: Tensor) -> Tensor:
        """(N, numbers) of some regions -> (N, K) logits of the types."""
        return self.linear((descriptions - self.mean) / self.scale)  # type: ignore[no-any-return]

    def share(
        self, maps: Sequence[NDArray[np.float32]], seen: Mapping[str, Tensor]
    ) -> list[NDArray[np.float32]]:
        """The maps of the types after each found region was given a type.

        The maximum over the types stays what it was. Every place belongs to the region that is nearest to it, and there
        a type keeps as much of the maximum as it is likely against the likeliest one.

        Args:
            maps: of the K types, (H, W) float32 probabilities.
            seen: :func:`model.segmentation.inputs.inputs` of the image, B = 1.

        Returns:
            K maps (H, W) float32; the given ones where nothing was found.
        """
        highest = np.maximum.reduce(list(maps))
        regions = regions_of(highest >= 0.5)
        if not regions:
            return list(maps)
        described = torch.stack([torch.cat(describe(seen, region)) for region in regions])
        likely = self(described).softmax(1).numpy()  # (N, K)
        distances = [cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 3) for region in regions]
        shares = (likely / likely.max(1, keepdims=True))[np.argmin(distances, axis=0)]  # (H, W, K)
        return [np.asarray(highest * shares[..., k], np.float32) for k in range(len(maps))]


def regions_of(inside: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The regions of a mask (H, W), each (H, W) bool, the largest first, at most ``MOST_REGIONS``."""
    grown = cv2.dilate(inside.astype(np.uint8), np.ones((JOINED + 1, JOINED + 1), np.uint8))
    count, labels = cv2.connectedComponents(grown, connectivity=8)
    labels = np.where(inside, labels, 0)
    areas = np.bincount(labels.ravel(), minlength=count)[1:]
    return [np.asarray(labels == 1 + int(i)) for i in np.argsort(-areas, kind="stable")[:MOST_REGIONS]]


def describe(seen: Mapping[str, Tensor], region: NDArray[np.bool_]) -> list[Tensor]:
    """What a region looks like, as vectors: the means of all maps in it and against those round it, and its shape.

    Args:
        seen: :func:`model.segmentation.inputs.inputs` of the image, B = 1.
        region: (H, W) bool in working pixels, not empty.
    """
    inside = torch.from_numpy(region.astype(np.float32))[None, None]
    side = 2 * NEIGHBOURHOOD + 1
    near = cv2.dilate(region.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    outside = torch.from_numpy((near & ~region).astype(np.float32))[None, None]
    found = []
    for name in MAPS:
        mean, round_it = (_mean(seen[name], weight) for weight in (inside, outside))
        found += [mean, mean - round_it]
    return [*found, _shape(region)]


def _mean(maps: Tensor, weight: Tensor) -> Tensor:
    """(C,): the mean of maps (1, C, h, w) where the weight (1, 1, H, W) is."""
    small = F.adaptive_avg_pool2d(weight, (maps.shape[-2], maps.shape[-1]))
    return (maps * small).sum((0, 2, 3)) / small.sum().clamp_min(1e-6)


def _shape(region: NDArray[np.bool_]) -> Tensor:
    """(SHAPE_NUMBERS,): logarithms of area, both axes and their ratio, and how much of its ellipse it fills."""
    rows, columns = np.nonzero(region)
    spread = np.cov(np.stack([rows, columns]).astype(np.float64)) if len(rows) > 1 else np.zeros((2, 2))
    minor, major = np.sqrt(np.linalg.eigvalsh(spread).clip(0.1))
    filled = len(rows) / (4 * np.pi * minor * major)
    numbers = [np.log(len(rows)), np.log(major), np.log(minor), np.log(major / minor), filled]
    return torch.tensor(numbers, dtype=torch.float32)


def length(config: SegConfig) -> int:
    """How many numbers :func:`describe` makes of a region."""
    channels = config.relative + config.vectors + sum(width for _, width in config.views)
    return 2 * channels + SHAPE_NUMBERS


def learn_types(described: Sequence[Sequence[Tensor]], types: Tensor, count: int) -> TypeHead:
    """Fit the classifier: every type weighs the same however often it was labelled, every map however many channels.

    Args:
        described: :func:`describe` of labelled regions, at least one.
        types: (N,) long, their types.
        count: K.
    """
    scales = []
    for vectors in zip(*described, strict=True):
        spread = torch.stack(vectors).std(0, unbiased=False)
        scales.append((spread + NOISE) * len(spread) ** 0.5)
    descriptions = torch.stack([torch.cat(list(vectors)) for vectors in described])
    head = TypeHead(descriptions.shape[1], count)
    head.mean.copy_(descriptions.mean(0))
    head.scale.copy_(torch.cat(scales))
    nn.init.zeros_(head.linear.weight)
    nn.init.zeros_(head.linear.bias)
    weight = 1.0 / torch.bincount(types, minlength=count).clamp_min(1)
    optimiser = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimiser.zero_grad()
        loss = F.cross_entropy(head(descriptions), types, weight=weight)
        loss = loss + SHRINKAGE * head.linear.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return head.eval().requires_grad_(False)


def examples(
    seen: Mapping[str, Tensor],
    targets: Mapping[str, tuple[Kind, NDArray[np.bool_]]],
    found: NDArray[np.bool_],
) -> Iterator[tuple[str, list[Tensor]]]:
    """The regions of a labelled image whose type is known: the type, and the region's description.

    Regions that were labelled, where the label has a shape; and regions that the network found, for those are what is
    named in use, where most of them lies in one label.

    Args:
        seen: :func:`model.segmentation.inputs.inputs` of the image, B = 1.
        targets: type -> kind of its label, and where it is (H, W), in working pixels.
        found: (H, W) bool, what the network calls a defect.
    """
    shaped = {name: where for name, (kind, where) in targets.items() if kind in ("mask", "clicked")}
    for name, where in shaped.items():
        for region in regions_of(where):
            yield name, describe(seen, region)
    for region in regions_of(found):
        inside = {name: float(where[region].mean()) for name, (_, where) in targets.items()}
        # a shape says more than a box or a tag over it
        name = max(inside, key=lambda n: (inside[n] >= 0.5, n in shaped, inside[n]))
        if inside[name] >= 0.5:
            yield name, describe(seen, region)
