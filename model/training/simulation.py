"""Iterative click simulation (RITM, SimpleClick): the next click goes to the middle of the largest error."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model.clicks import Click, next_click
from model.training.losses import IGNORE

THRESHOLD = 0.49  # of the prediction whose largest error is clicked next (SimpleClick)


class ClickSimulation:
    """The clicks of a batch so far, and the maps they led to."""

    def __init__(self, mask: NDArray[np.float32], rng: np.random.Generator, jitter: float):
        self.target, self.valid, self.rng, self.jitter = mask > 0.5, mask != IGNORE, rng, jitter
        self.clicks: list[list[Click]] = [
            self._first(t, v) for t, v in zip(self.target, self.valid, strict=True)
        ]
        size = mask.shape[-1]
        self.previous = torch.zeros(len(mask), 1, size // 2, size // 2)

    def tensor(self) -> Tensor:
        """(B, N, 3) as :func:`model.evidence.relative.evidence` takes them."""
        longest = max(1, *(len(c) for c in self.clicks))
        out = torch.zeros(len(self.clicks), longest, 3)
        for i, clicks in enumerate(self.clicks):
            for j, click in enumerate(clicks):
                out[i, j] = torch.tensor([click.x / 2, click.y / 2, 1.0 if click.positive else -1.0])
        return out

    def advance(self, rows: list[int], probability: Tensor, second_looks: float = 0.0) -> None:
        """One more click for the samples in ``rows``, whose maps (len(rows), 1, 2s, 2s) are given.

        With the probability ``second_looks`` a sample gets its map back without another click.
        """
        self.previous[rows] = F.avg_pool2d(probability, 2)
        for i, mask in zip(rows, probability[:, 0].numpy() > THRESHOLD, strict=True):
            if self.rng.random() < second_looks:
                continue
            prediction = np.where(self.valid[i], mask, False)
            click = next_click(self.target[i], prediction, self.clicks[i], self.rng, self.jitter)
            if click is not None:
                self.clicks[i].append(click)

    def _first(self, target: NDArray[np.bool_], valid: NDArray[np.bool_]) -> list[Click]:
        clicks: list[Click] = []
        positives = 1 + int(self.rng.random() < 0.15)
        for _ in range(positives if target.any() else 0):
            spread = self.jitter if self.rng.random() < 0.7 else self.jitter * 8
            click = next_click(target, np.zeros_like(target), clicks, self.rng, spread)
            clicks += [click] if click else []
        if self.rng.random() < 0.2 or not clicks:
            rows, columns = np.nonzero(valid & ~target)
            for i in self.rng.integers(len(rows), size=int(self.rng.integers(1, 3))) if len(rows) else ():
                clicks.append(Click(float(columns[i]) + 0.5, float(rows[i]) + 0.5, False))
        return clicks
