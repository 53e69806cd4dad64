"""What the trainer of detectors asks of a method: its network, its optimiser, the loss on a batch of good images."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn


class Learner(Protocol):
    """How one method learns."""

    @property
    def network(self) -> nn.Module:
        """What is trained, on its device and in training mode; buffers included in its state."""

    @property
    def optimiser(self) -> torch.optim.Optimizer:
        """Of its parameters, as the paper has it."""

    @property
    def clip(self) -> float:
        """Largest norm of the gradient."""

    def loss(self, rng: np.random.Generator) -> Tensor:
        """Draw a batch of good images and return the loss on it, a scalar; the same for the same ``rng``."""

    def rate(self, progress: float) -> float:
        """The factor on the learning rate when the share ``progress`` of the training is over, in [0, 1]."""
