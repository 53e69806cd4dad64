"""Which type a found defect is of: what a region looks like, and the maps of the types after each region was given one.

The maps of the types (Eq. 7) hardly differ after a short training, for the words only steer them; the look of a region
against its surroundings and against the references tells types apart from a handful of labelled images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]

MAPS = ("relative", "vectors", "stride2", "stride4", "stride8", "stride16")
"""What the segmentation network is given of an image, by name."""

NEIGHBOURHOOD = 20
"""Working pixels round a region that it is contrasted with."""

JOINED = 8
"""Parts of a map that lie no further apart, in working pixels, are one region: a scratch often falls apart."""

MOST_REGIONS = 16
"""Regions of an image that are looked at, the largest."""

SHAPE_NUMBERS = 5
"""How many numbers say what shape a region has."""


def share(
    maps: Sequence[Map], seen: Mapping[str, Map], likely: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> list[Map]:
    """The maps of the types after each found region was given a type.

    The maximum over the types stays what it was. Every place belongs to the region that is nearest to it, and there a
    type keeps as much of the maximum as it is likely against the likeliest one.

    Args:
        maps: of the K types, (H, W) float32 probabilities.
        seen: what the network is given of the image, by name (`MAPS`), (C, h, w) float32.
        likely: descriptions (N, numbers) of regions -> (N, K), above 0: how likely each type is.

    Returns:
        K maps (H, W) float32; the given ones where nothing was found.
    """
    highest = np.maximum.reduce(list(maps))
    regions = regions_of(highest >= 0.5)
    if not regions:
        return list(maps)
    found = likely(np.stack([np.concatenate(describe(seen, region)) for region in regions]))
    distances = [cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 3) for region in regions]
    shares = (found / found.max(1, keepdims=True))[np.argmin(distances, axis=0)]  # (H, W, K)
    return [np.asarray(highest * shares[..., k], np.float32) for k in range(len(maps))]


def regions_of(inside: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """The regions of a mask (H, W), each (H, W) bool, the largest first, at most ``MOST_REGIONS``."""
    grown = cv2.dilate(inside.astype(np.uint8), np.ones((JOINED + 1, JOINED + 1), np.uint8))
    count, labels = cv2.connectedComponents(grown, connectivity=8)
    labels = np.where(inside, labels, 0)
    areas = np.bincount(labels.ravel(), minlength=count)[1:]
    return [np.asarray(labels == 1 + int(i)) for i in np.argsort(-areas, kind="stable")[:MOST_REGIONS]]


def describe(seen: Mapping[str, Map], region: NDArray[np.bool_]) -> list[Map]:
    """What a region looks like, as vectors: the means of all maps in it and against those round it, and its shape.

    Args:
        seen: what the network is given of the image, by name (`MAPS`), (C, h, w) float32; h and w divide H and W.
        region: (H, W) bool in working pixels, not empty.
    """
    side = 2 * NEIGHBOURHOOD + 1
    near = cv2.dilate(region.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    found = []
    for name in MAPS:
        mean, round_it = (_mean(seen[name], weight) for weight in (region, near & ~region))
        found += [mean, mean - round_it]
    return [*found, _shape(region)]


def _mean(maps: Map, weight: NDArray[np.bool_]) -> Map:
    """(C,): the mean of maps (C, h, w) where the weight (H, W) is."""
    channels, height, width = maps.shape
    rows, columns = weight.shape[0] // height, weight.shape[1] // width
    small = weight.reshape(height, rows, width, columns).mean((1, 3), dtype=np.float32)
    total = maps.reshape(channels, -1) @ small.ravel()
    return np.asarray(total / max(float(small.sum()), 1e-6), np.float32)


def _shape(region: NDArray[np.bool_]) -> Map:
    """(SHAPE_NUMBERS,): logarithms of area, both axes and their ratio, and how much of its ellipse it fills."""
    rows, columns = np.nonzero(region)
    spread = np.cov(np.stack([rows, columns]).astype(np.float64)) if len(rows) > 1 else np.zeros((2, 2))
    minor, major = np.sqrt(np.linalg.eigvalsh(spread).clip(0.1))
    filled = len(rows) / (4 * np.pi * minor * major)
    return np.array(
        [np.log(len(rows)), np.log(major), np.log(minor), np.log(major / minor), filled], np.float32
    )
