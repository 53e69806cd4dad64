"""The anomaly map of the residual: where an image is unlike its references. Nothing here was learned from labels."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import pstdev

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_runtime.expected import sigmoid
from adclick_runtime.frame import Frame

SMOOTHING = 2.0
"""Standard deviation, in cells of the stride-2 grid, of the blur of the log-energies."""

MARGIN = 0.15
"""Log-energy above all that was seen in very many references that a defect must at least have."""

FEW = 3.0
"""With so many references the margin is doubled: the highest of a few says little about the highest of many."""

REACH = 0.25
"""A defect that exceeds the threshold somewhere reaches as far as the log-energy is no more than this below it."""

DEPTH = 1.0
"""... and no more than this below its own peak: coarse features carry a striking defect far beyond its border."""

DOUBT = 0.45
"""Probability of a place that is as conspicuous as a defect's border without there being a defect."""

SOFTNESS = 0.2
"""Excess of log-energy over which the odds of a defect grow by the factor e."""

MOST_TRUST = 0.75
"""Probability that no residual exceeds: it knows what is unusual, not what is a defect. Regions are then given scores
near the IoU that they were measured to have, about one half."""


def smoothed(log_energy: NDArray[np.float32]) -> NDArray[np.float32]:
    """The anomaly score of an image: the log of its joint residual energy (h, w), on the stride-2 grid, blurred."""
    return np.asarray(cv2.GaussianBlur(log_energy, (0, 0), SMOOTHING), dtype=np.float32)


def threshold(peaks: Sequence[float]) -> float:
    """The anomaly score from which a place counts as a defect: above the highest peak of any reference, with a margin.

    Args:
        peaks: highest anomaly score of two or more references, each left out of the bank in turn.
    """
    return max(peaks) + max(MARGIN, pstdev(peaks)) * (1 + FEW / len(peaks))


def residual_probability(
    score: NDArray[np.float32], frame: Frame, peaks: Sequence[float]
) -> NDArray[np.float32]:
    """How probably each place is a defect, as far as the residual can tell.

    Whether there is a defect is decided at the conservative threshold, how far it reaches at a lower one.

    Args:
        score: (h, w) anomaly score of the image (`smoothed`).
        frame: its working frame.
        peaks: highest anomaly score of references of its bank.

    Returns:
        (frame.height, frame.width) float32 in [0, MOST_TRUST]; above 0.5 in a defect.
    """
    return defect_probability(score - np.float32(threshold(peaks)), frame)


def defect_probability(excess: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """How probably each place is a defect, from the excess of an anomaly score over its `threshold`.

    Args:
        excess: (h, w) float32 on any grid of the working frame, in units of the residual's log-energy.
        frame: the working frame.

    Returns:
        (frame.height, frame.width) float32 in [0, MOST_TRUST]; above 0.5 in a defect.
    """
    labels = cv2.connectedComponents((excess > -REACH).astype(np.uint8), connectivity=8)[1]
    highest = np.full(
        int(labels.max()) + 1, -np.inf, np.float32
    )  # of each part; part 0 is the rest of the image
    np.maximum.at(highest, np.asarray(labels, np.int64), excess)
    peak = highest[labels]
    border = np.where(labels > 0, np.maximum(-REACH, peak - DEPTH), -REACH)
    probability = np.minimum(sigmoid((excess - border) / SOFTNESS, np.inf), np.float32(MOST_TRUST))
    probability = np.where(peak > 0, probability, np.minimum(probability, DOUBT))
    size = frame.width, frame.height
    return np.asarray(cv2.resize(probability, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def agreed(
    probability: NDArray[np.float32], score: NDArray[np.float32], peaks: Sequence[float]
) -> NDArray[np.float32]:
    """What a network that knows other products finds, where the residual agrees that it is unusual for this one.

    The network knows better how far a defect reaches, the references what a good part looks like.

    Args:
        probability: (frame.height, frame.width) float32 in [0, 1], the network's.
        score: (h, w) anomaly score of the image (`smoothed`).
        peaks: highest anomaly score of references of its bank.

    Returns:
        The same, but at most DOUBT in parts that nowhere come within REACH of the threshold.
    """
    height, width = probability.shape
    unusual = score > threshold(peaks) - REACH
    unusual = cv2.resize(unusual.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    labels = cv2.connectedComponents((probability > 0.5).astype(np.uint8), connectivity=8)[1]
    believed = np.isin(labels, np.unique(labels[unusual]))
    return np.where(believed, probability, np.minimum(probability, DOUBT)).astype(np.float32)
