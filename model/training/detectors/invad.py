"""How InvAD learns: to make the features of good images anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model.detectors.invad.network import InvAD, inversion_loss
from model.features.backbones import Pyramid
from model.training.detectors.good_images import GoodImages
from model.training.detectors.settings import DetectorTraining
from model.training.distributed import ALONE, Worker

LEARNING_RATE = 0.004
BETAS = (0.0, 0.99)
CLIP = 5.0
FALLS = 0.8
"""Share of the training after which the learning rate is a tenth."""


class InvADLearner:
    """See :class:`model.training.detectors.learner.Learner`. No augmentation and no weight decay, as published.

    Args:
        network: untrained; its statistics are taken from the images.
        good: the images.
        config: settings.
        batch: images a step, unless the settings say otherwise.
        pace: times the published learning rate.
        worker: this process among those that train together; each learns from a share of the images.
    """

    clip = CLIP

    def __init__(
        self,
        network: InvAD,
        good: GoodImages,
        config: DetectorTraining,
        batch: int = 32,
        pace: float = 1.0,
        worker: Worker = ALONE,
    ):
        strides = network.config.strides
        pyramids = [
            {s: encoded.pyramid[s] for s in strides}
            for product in good.images
            for encoded in good.encoded(product)
        ]
        network.fit(pyramids)
        # a step takes two thirds of the time that it takes in the other order of memory
        self.network: InvAD = network.to(worker.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._shared = worker.share(self.network)
        self._groups = _same_size(pyramids[worker.rank :: worker.count] or pyramids)
        self._count, self._device = config.batch or batch, worker.device
        rate = LEARNING_RATE * pace * config.learning_rate
        self.optimiser = torch.optim.Adam(self.network.parameters(), rate, BETAS)

    def loss(self, rng: np.random.Generator) -> Tensor:
        """The difference between the features of a batch of good images and those that were made anew."""
        sizes = np.array([len(group) for group in self._groups])
        group = self._groups[int(rng.choice(len(sizes), p=sizes / sizes.sum()))]
        rows = [group[int(i)] for i in rng.permutation(len(group))[: self._count]]
        batch = {
            s: torch.cat([row[s] for row in rows]).to(self._device, memory_format=torch.channels_last)
            for s in rows[0]
        }
        levels, made = self._shared(batch)
        return inversion_loss(levels, made, self.network.config.weight)

    def rate(self, progress: float) -> float:
        """1, and 0.1 for the last fifth of the training."""
        return 1.0 if progress < FALLS else 0.1


def _same_size(pyramids: Sequence[Pyramid]) -> list[list[Pyramid]]:
    """The images in groups whose working frames have one size: only these can be in one batch."""
    groups: dict[tuple[int, ...], list[Pyramid]] = {}
    for pyramid in pyramids:
        groups.setdefault(tuple(next(iter(pyramid.values())).shape), []).append(pyramid)
    return list(groups.values())
