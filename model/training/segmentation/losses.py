"""What a label of a given strength asks of the network (Eq. 10, and the box loss of AnoGen)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from model.training.losses import GATE, IGNORE, normalized_focal_loss

PEAK = 0.001
"""Share of the pixels that may hold the defect which must light up at least: one pixel is a chance hit."""


def weak_loss(logits: Tensor, labels: Tensor, somewhere: Tensor, cross_entropy: float) -> Tensor:
    """The loss of each sample.

    Pixels of known value take the normalised focal loss and some plain cross-entropy. Where the defect is only known
    to be ``somewhere`` (inside a box, in a tagged image), a pixel carries loss only when the network already calls it
    a defect, and then it is told so (self-gating); besides, the brightest of these pixels must be a defect.

    Args:
        logits: (B, 1, H, W) float32.
        labels: (B, 1, H, W) float32 in {0, 1, -1}.
        somewhere: (B, 1, H, W) bool; the labels there are disregarded.
        cross_entropy: weight of the plain cross-entropy.

    Returns:
        (B,) >= 0.
    """
    called = torch.where(logits.detach().sigmoid() > GATE, 1.0, float(IGNORE))
    labels = torch.where(somewhere, called, labels)
    valid = (labels != IGNORE).float()
    plain = F.binary_cross_entropy_with_logits(logits, labels.clamp_min(0), valid, reduction="none")
    mean = plain.sum((1, 2, 3)) / valid.sum((1, 2, 3)).clamp_min(1.0)
    return normalized_focal_loss(logits, labels) + cross_entropy * mean + _dark(logits, somewhere)


def _dark(logits: Tensor, somewhere: Tensor) -> Tensor:
    """(B,): how far the brightest pixels of ``somewhere`` are from being a defect; 0 where it is empty."""
    losses = []
    for sample, place in zip(logits[:, 0], somewhere[:, 0], strict=True):
        inside = sample[place]
        if inside.numel():
            brightest = inside.topk(max(1, int(PEAK * inside.numel()))).values
            losses.append(F.softplus(-brightest.mean()))
        else:
            losses.append(sample.new_zeros(()))
    return torch.stack(losses)
