"""Whether the score of a region says what its mask is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10


@dataclass(frozen=True)
class Bin:
    """The masks whose score lies in [low, high): how many, their mean score and their mean IoU, in [0, 1]."""

    low: float
    high: float
    count: int
    score: float
    iou: float


@dataclass(frozen=True)
class Calibration:
    """How scores (expected IoU) and true IoUs go together.

    Attributes:
        count: masks.
        pearson: linear correlation.
        spearman: correlation of the ranks.
        error: mean distance of score and IoU of the bins, by their size (expected calibration error).
        bins: the reliability table; empty bins are left out.
    """

    count: int
    pearson: float
    spearman: float
    error: float
    bins: list[Bin]


def calibrate(scores: Sequence[float], ious: Sequence[float]) -> Calibration:
    """Compare scores (N,) with IoUs (N,), both in [0, 1]; N >= 2.

    Correlations of constant values are NaN.
    """
    s, t = np.asarray(scores, np.float64), np.asarray(ious, np.float64)
    places = np.minimum((s * BINS).astype(int), BINS - 1)
    bins = [
        Bin(i / BINS, (i + 1) / BINS, int(at.sum()), float(s[at].mean()), float(t[at].mean()))
        for i in range(BINS)
        if (at := places == i).any()
    ]
    error = sum(b.count * abs(b.score - b.iou) for b in bins) / s.size
    return Calibration(s.size, _correlation(s, t), _correlation(_ranks(s), _ranks(t)), error, bins)


def reliability_table(found: Calibration) -> str:
    """Markdown: what regions of each score were worth."""
    lines = ["| score | masks | mean score | mean IoU |", "|---|---|---|---|"]
    lines += [
        f"| {b.low:.1f} to {b.high:.1f} | {b.count} | {b.score:.2f} | {b.iou:.2f} |" for b in found.bins
    ]
    return "\n".join(lines)


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm else float("nan")


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0 on, equal values sharing the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[inverse], np.float64)
