"""Which type a found defect is of: a linear classifier over :func:`adclick_runtime.type_head.describe`, learned in a
second per project.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from adclick_runtime import type_head
from adclick_runtime.type_head import SHAPE_NUMBERS, describe, regions_of
from model.labels.labelled import SHAPED, Kind
from model.segmentation.network import SegConfig

Maps = Mapping[str, NDArray[np.float32]]
"""What the segmentation network is given of an image, by name, (C, h, w) float32 each (:func:`given`)."""

NOISE = 1.0
"""Added to the spread of every number over the labelled regions: the maps have unit variance over an image, and what
differs by little of that among a few regions differs by chance."""

SHRINKAGE = 3e-3
"""Weight of the squared coefficients beside the cross-entropy: there are more numbers than labelled regions."""


class TypeHead(nn.Module):
    """Describes a region and names its type.

    Args:
        numbers: length of a description (:func:`adclick_runtime.type_head.describe`).
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

    def share(self, maps: Sequence[NDArray[np.float32]], seen: Maps) -> list[NDArray[np.float32]]:
        """The maps of the types after each found region was given one (:func:`adclick_runtime.type_head.share`)."""

        def likely(descriptions: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.asarray(self(torch.from_numpy(descriptions)).softmax(1).numpy(), np.float32)

        return type_head.share(maps, seen, likely)


def given(seen: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    """:func:`model.segmentation.inputs.inputs` of one image, B = 1, as regions are described in."""
    return {name: np.asarray(maps[0].float().cpu().numpy(), np.float32) for name, maps in seen.items()}


def length(config: SegConfig) -> int:
    """How many numbers :func:`describe` makes of a region."""
    channels = config.relative + config.vectors + sum(width for _, width in config.views)
    return 2 * channels + SHAPE_NUMBERS


def learn_types(described: Sequence[Sequence[NDArray[np.float32]]], types: Tensor, count: int) -> TypeHead:
    """Fit the classifier: every type weighs the same however often it was labelled, every map however many channels.

    Args:
        described: :func:`adclick_runtime.type_head.describe` of labelled regions, at least one.
        types: (N,) long, their types.
        count: K.
    """
    scales = []
    for vectors in zip(*described, strict=True):
        spread = torch.from_numpy(np.stack(vectors)).std(0, unbiased=False)
        scales.append((spread + NOISE) * len(spread) ** 0.5)
    descriptions = torch.from_numpy(np.stack([np.concatenate(list(vectors)) for vectors in described]))
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
    seen: Maps,
    targets: Mapping[str, tuple[Kind, NDArray[np.bool_]]],
    found: NDArray[np.bool_],
) -> Iterator[tuple[str, list[NDArray[np.float32]]]]:
    """The regions of a labelled image whose type is known: the type, and the region's description.

    Regions that were labelled, where the label has a shape; and regions that the network found, for those are what is
    named in use, where most of them lies in one label.

    Args:
        seen: what the network is given of the image (:func:`given`).
        targets: type -> kind of its label, and where it is (H, W), in working pixels.
        found: (H, W) bool, what the network calls a defect.
    """
    shaped = {name: where for name, (kind, where) in targets.items() if kind in SHAPED}
    for name, where in shaped.items():
        for region in regions_of(where):
            yield name, describe(seen, region)
    for region in regions_of(found):
        inside = {name: float(where[region].mean()) for name, (_, where) in targets.items()}
        # a shape says more than a box or a tag over it
        name = max(inside, key=lambda n: (inside[n] >= 0.5, n in shaped, inside[n]))
        if inside[name] >= 0.5:
            yield name, describe(seen, region)
