"""The references of a product, as they lie in a bundle: what an image is compared with."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_runtime.features import Features
from adclick_runtime.matching import STRIDES, Bank, Matching, Moments, Reference
from adclick_runtime.networks import Network
from adclick_runtime.retrieval import retrieve

KEPT_BANKS = 2
"""Banks that stay laid out; a product with no more references than an image is compared with has but one."""


class References:
    """The references of one product.

    Args:
        tensors: of the bundle: see :func:`tensors_of`.
        prefix: of the names of this product's.
        count: how many references it has.
        nearest: with how many an image is compared.
        matching: how places find their match.
        search: see :class:`adclick_runtime.matching.Cells`.
    """

    def __init__(
        self,
        tensors: Mapping[str, NDArray[Any]],
        prefix: str,
        count: int,
        nearest: int,
        matching: Matching,
        search: Network,
    ):
        self._tensors, self._prefix, self.count = tensors, prefix, count
        self._nearest, self._matching, self._search = nearest, matching, search
        self._descriptors = np.array(tensors[f"{prefix}descriptors"]) if count else None
        self._banks: OrderedDict[tuple[int, ...], Bank] = OrderedDict()

    def nearest(self, image: Features) -> tuple[int, ...]:
        """Numbers of the references that an image is compared with, the most similar one first."""
        if self._descriptors is None:
            return ()
        return tuple(retrieve(image.descriptor, self._descriptors, self._nearest))

    def bank(self, numbers: tuple[int, ...]) -> Bank:
        """Some references, at least one, laid out; in the order in which they are given."""
        # Which of equal matches is taken depends on the order; while all are looked at, one order will do.
        key = tuple(range(self.count)) if len(numbers) == self.count else numbers
        if key not in self._banks:
            self._banks[key] = Bank([self._reference(i) for i in key], self._matching, self._search)
        self._banks.move_to_end(key)
        while len(self._banks) > KEPT_BANKS:
            self._banks.popitem(last=False)
        return self._banks[key]

    def own(self, image: Features) -> Bank:
        """An image as its own reference."""
        return Bank([Reference.of(image)], self._matching, self._search, itself=True)

    def more(self, number: int, name: str) -> NDArray[Any]:
        """What a detector keeps of a reference, by the detector's name."""
        return self._tensors[f"{self._prefix}{number}/{name}"]

    def _reference(self, number: int) -> Reference:
        joint, fine, colour, counts, means, squares = (
            self._tensors[f"{self._prefix}{number}/{name}"]
            for name in ("joint", "fine", "colour", "counts", "means", "squares")
        )
        ends = np.cumsum(self._tensors["channels"])[:-1]
        both = zip(np.split(means, ends), np.split(squares, ends), strict=True)
        four, eight, sixteen = (Moments(int(n), *two) for n, two in zip(counts, both, strict=True))
        return Reference(joint, fine, colour.astype(np.float32) / np.float32(255), (four, eight, sixteen))


def tensors_of(image: Features, number: int, prefix: str) -> dict[str, NDArray[Any]]:
    """What a bundle holds of a reference."""
    levels = [Moments.of(image.maps[stride]) for stride in STRIDES]
    held: dict[str, NDArray[Any]] = {
        "joint": image.joint,  # means of what is kept in half precision; rounding them again would be seen
        "fine": image.fine.astype(np.float16),
        "colour": np.rint(image.colour * 255).astype(np.uint8),
        "counts": np.array([level.places for level in levels], np.int64),
        "means": np.concatenate([level.mean for level in levels]),
        "squares": np.concatenate([level.squares for level in levels]),
    }
    return {f"{prefix}{number}/{name}": array for name, array in held.items()}
