"""The normalised focal loss (Eq. 10; SimpleClick's form), and the overlap that masks are judged by."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

GATE = 0.3
"""Inside a box a pixel counts as a defect once the network calls it one with this probability."""

IGNORE = -1


def normalized_focal_loss(logits: Tensor, labels: Tensor, alpha: float = 0.5, gamma: float = 2.0) -> Tensor:
    """Focal loss whose pixel weights average 1 in each sample, so that it does not fade when a mask is nearly right.

    Args:
        logits: (B, 1, H, W) float32.
        labels: (B, 1, H, W) float32 in {0, 1, -1}; -1 is ignored and carries no gradient.
        alpha: weight of the defect class.
        gamma: focusing exponent.

    Returns:
        (B,) loss per sample; 0 for a sample in which everything is ignored.
    """
    valid = (labels != IGNORE).float()
    target = labels.clamp_min(0)
    log_pt = -F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    with torch.no_grad():
        beta = (1 - log_pt.exp()).pow(gamma) * valid
        count = valid.sum((1, 2, 3))
        beta = beta * (count / beta.sum((1, 2, 3)).clamp_min(1e-12))[:, None, None, None]
        weight = beta * torch.where(target > 0.5, alpha, 1 - alpha)
    return -(weight * log_pt).sum((1, 2, 3)) / count.clamp_min(1.0)


def overlap_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """One minus the soft IoU of each sample.

    Pixel losses leave a place out until it is more likely defect than not; the IoU of a whole mask is best when
    doubtful places near a sure defect are taken in, above all after the first click.

    Args:
        logits: (B, 1, H, W) float32.
        labels: (B, 1, H, W) float32 in {0, 1, -1}; -1 is ignored.

    Returns:
        (B,) loss per sample, in [0, 1].
    """
    valid = (labels != IGNORE).float()
    probability, target = logits.sigmoid() * valid, labels.clamp_min(0)
    shared = (probability * target).sum((1, 2, 3))
    union = (probability + target).sum((1, 2, 3)) - shared
    return 1 - (shared + 1) / (union + 1)
