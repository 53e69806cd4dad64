from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from model.training.losses import normalized_focal_loss, overlap_loss


def test_with_gamma_zero_it_is_half_the_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 1, 8, 8), torch.randint(0, 2, (3, 1, 8, 8)).float()
    plain = F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean((1, 2, 3))
    assert torch.allclose(normalized_focal_loss(logits, labels, gamma=0.0), plain / 2, atol=1e-6)


def test_ignored_pixels_carry_neither_loss_nor_gradient() -> None:
    """Eq. 10: what the label abandons does not count."""
    logits = torch.randn(1, 1, 4, 4, requires_grad=True)
    labels = torch.randint(0, 2, (1, 1, 4, 4)).float()
    labels[..., :2] = -1
    loss = normalized_focal_loss(logits, labels)
    loss.sum().backward()
    assert logits.grad is not None
    assert float(logits.grad[..., :2].abs().max()) == 0.0
    assert float(logits.grad[..., 2:].abs().min()) > 0.0
    kept = normalized_focal_loss(logits[..., 2:], labels[..., 2:])
    assert torch.allclose(loss, kept)


def test_a_sample_that_is_all_ignored_has_no_loss() -> None:
    assert float(normalized_focal_loss(torch.randn(1, 1, 4, 4), -torch.ones(1, 1, 4, 4))) == 0.0


def test_the_loss_does_not_fade_when_a_mask_is_nearly_right() -> None:
    labels = torch.zeros(1, 1, 32, 32)
    labels[..., 10:20, 10:20] = 1
    nearly = (labels * 2 - 1) * 6
    nearly[..., 12, 12] = -1.0  # one wrong pixel of 1024
    focal = (
        F.binary_cross_entropy_with_logits(nearly, labels, reduction="none")
        * (1 - torch.sigmoid(nearly)).square()
    )
    assert float(normalized_focal_loss(nearly, labels)) > 100 * float(focal.mean())


def test_the_overlap_loss_is_one_minus_the_iou() -> None:
    labels = torch.zeros(2, 1, 8, 8)
    labels[:, :, :4] = 1
    logits = torch.where(labels > 0, 20.0, -20.0)
    logits[1, :, 2:4] = -20.0  # half of the mask is missed
    loss = overlap_loss(logits, labels)
    assert loss[0] == pytest.approx(0.0, abs=1e-3)
    assert loss[1] == pytest.approx(1 - 17 / 33, abs=1e-3)


def test_the_overlap_loss_ignores_what_is_to_be_ignored() -> None:
    labels = torch.full((1, 1, 4, 4), -1.0)
    logits = torch.randn(1, 1, 4, 4, requires_grad=True)
    overlap_loss(logits, labels).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) == 0.0
