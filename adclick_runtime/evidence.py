"""What a segmentation network is shown of an image beside its features: comparisons with the references."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.anomaly_map import smoothed
from adclick_runtime.matching import Residual, median

Map = NDArray[np.float32]

ENERGIES = ("joint", "stride4", "stride8", "stride16", "fine", "colour")
NORMAL_ENERGIES = ("joint", "fine", "colour")
"""Also compared with what is usual among the references."""
RATIO_ENERGIES = ("joint", "fine")

USUAL_SHARE = 0.95
"""Quantile of an energy over an image that says how unusual it is."""


@dataclass(frozen=True)
class Evidence:
    """An image beside its references.

    Attributes:
        relative: (13, h2, w2), what the network is shown: see :func:`evidence`.
        vectors: (D', h8, w8), the residual vectors.
        score: (h2, w2), the anomaly score (:func:`adclick_runtime.anomaly_map.smoothed`).
        level: the median of the joint energy over the image, >= 0.
    """

    relative: Map
    vectors: Map
    score: Map
    level: float


def evidence(
    residual: Residual, colour: Map, normal: Mapping[str, float] | None, references: int
) -> Evidence:
    """What the network is shown of an image; the numbers are those of :func:`model.evidence.prepared.static_maps`.

    Args:
        residual: of the image.
        colour: (h2, w2, 3) float32 in [0, 1], CIELAB.
        normal: energies that are usual among the references; None: the image's own level serves.
        references: how many there are.
    """
    height, width = colour.shape[:2]
    logs = {
        name: cv2.resize(np.log(energy + np.float32(1e-4)), (width, height), interpolation=cv2.INTER_LINEAR)
        for name, energy in residual.energies.items()
    }
    channels = [logs[name] - np.float32(median(logs[name])) for name in ENERGIES]
    for name in NORMAL_ENERGIES:
        usual = math.log(normal[name] + 1e-4) if normal else np.quantile(logs[name].ravel()[::7], USUAL_SHARE)
        channels.append(logs[name] - np.float32(usual))
    relative = np.empty((len(channels) + 2 + len(RATIO_ENERGIES), height, width), np.float32)
    for place, channel in enumerate(channels):
        relative[place] = rounded(np.clip(channel, -6, 6) * np.float32(0.5))
    relative[len(channels)] = rounded(edges(colour[..., 0]))
    relative[len(channels) + 1] = rounded(
        np.full((1, 1), min(1.0, math.log2(1.0 + references) / 4), np.float32)
    )
    ratios = {name: rounded(logs[name]) for name in RATIO_ENERGIES}
    for place, log in enumerate(ratios.values(), len(channels) + 2):
        np.multiply(np.clip(log, -4, 4), np.float32(0.5), out=relative[place])
    score, level = smoothed(ratios["joint"]), median(residual.energies["joint"])
    return Evidence(relative, rounded(residual.vectors), score, level)


def rounded(maps: Map) -> Map:
    """Maps as the backend keeps them, in half precision: one that lies near a threshold shows it."""
    return maps.astype(np.float16).astype(np.float32)


def edges(light: Map) -> Map:
    """(h, w) gradient magnitude of the lightness (h, w) over its mean, compressed."""
    padded = np.pad(light, 1, mode="edge")
    dx = padded[1:-1, 2:] - padded[1:-1, :-2]
    dy = padded[2:, 1:-1] - padded[:-2, 1:-1]
    magnitude = np.sqrt(np.square(dx) + np.square(dy))
    return np.asarray(np.log1p(magnitude / max(float(magnitude.mean()), 1e-3)), np.float32)
