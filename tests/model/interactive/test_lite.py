from __future__ import annotations

import pytest
import torch

from model.evidence.prepared import CHANNELS, LAYOUT
from model.evidence.relative import columns
from model.features.backbones import WideResNet50
from model.interactive.base import BaseClickNetwork, BaseConfig, click_discs, patch_residual
from model.interactive.lite import LiteClickNetwork, LiteConfig
from model.interactive.swin import SwinBlock
from model.matching.nearest import Cells, nearest
from model.training.losses import normalized_focal_loss


def test_the_lite_network_answers_at_full_resolution() -> None:
    assert LiteClickNetwork()(torch.randn(2, CHANNELS, 32, 48)).shape == (2, 1, 64, 96)


def test_the_lite_network_does_not_mix_samples() -> None:
    """No statistics over the batch: a mask must not depend on whose click is answered beside it."""
    network, shown = LiteClickNetwork().eval(), torch.randn(2, CHANNELS, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(network(shown)[1:], network(shown[1:]), atol=1e-4)


@pytest.mark.parametrize("shift", [False, True])
def test_swin_windows_see_their_own_tokens_only(shift: bool) -> None:
    torch.manual_seed(0)
    block = SwinBlock(8, 2, 4, shift=shift).eval()
    tokens = torch.randn(1, 8, 8, 8)
    changed = tokens.clone()
    changed[0, 0, 0] = torch.randn(8)
    with torch.inference_mode():
        touched = ((block(tokens) - block(changed)).abs().amax(-1)[0] > 1e-6).nonzero()
    side = 2 if shift else 4  # the corner's window, cut by the shift where the image ends
    assert {tuple(int(v) for v in t) for t in touched} == {(r, c) for r in range(side) for c in range(side)}


def test_training_leaves_out_whole_kinds_of_evidence_and_never_where_the_clicks_are() -> None:
    torch.manual_seed(0)
    network, shown = LiteClickNetwork(LiteConfig(dropout=0.5)), torch.ones(64, CHANNELS, 2, 2)
    thinned = network._thinned(shown)[..., 0, 0]
    for kind in LAYOUT:
        of_kind = thinned[:, columns(kind)]
        assert torch.equal(of_kind.amin(1), of_kind.amax(1)), kind
        assert 0.2 < float(of_kind.mean()) < 0.8 or kind == "near"
    assert bool((thinned[:, columns("near")] == 1).all())


def test_the_base_preset_takes_a_training_step_with_words() -> None:
    """The paper's parts at a small size: WideResNet50 residuals, clicks, previous mask, words, Swin, focal loss.

    The 6 x 10 tokens do not fill windows of 4, so they are filled up, which must not shift the answer.
    """
    torch.manual_seed(0)
    backbone = WideResNet50((1, 1, 1)).eval()
    with torch.inference_mode():
        image, reference = (backbone(torch.rand(1, 3, 48, 80) * 255) for _ in range(2))
        matches = nearest(image[8], Cells.of([reference[8]]))
        residual = patch_residual(image, [reference], matches, 64).square()
    residual = residual.clone()
    config = BaseConfig(
        residual=64, width=32, depth=2, heads=4, window=4, words=24, pyramid=(8, 16, 24, 32), head=16
    )
    network = BaseClickNetwork(config)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-2)
    clicks = torch.tensor([[[20.0, 30.0, 1.0], [50.0, 8.0, -1.0], [0.0, 0.0, 0.0]]])
    prompts = torch.cat([torch.zeros(1, 1, 48, 80), click_discs(clicks, 48, 80)], 1)
    labels = torch.zeros(1, 1, 48, 80)
    labels[..., 24:36, 14:26] = 1
    words, present = torch.randn(1, 5, 24), torch.tensor([[True, True, True, False, False]])
    for _ in range(60):
        logits = network(residual, prompts, words, present)
        assert logits.shape == (1, 1, 48, 80)
        loss = normalized_focal_loss(logits, labels).mean()
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in network.parameters())
        optimiser.step()
    found, true = network.eval()(residual, prompts, words, present) > 0, labels > 0
    assert float((found & true).sum() / (found | true).sum()) > 0.6


def test_the_base_preset_runs_without_language() -> None:
    config = BaseConfig(
        residual=16, width=16, depth=1, heads=2, window=4, words=8, pyramid=(4, 8, 8, 8), head=8
    )
    network = BaseClickNetwork(config).eval()
    assert network(torch.rand(2, 16, 8, 8), torch.zeros(2, 3, 64, 64)).shape == (2, 1, 64, 64)


def test_the_papers_sizes_are_the_defaults() -> None:
    with torch.device("meta"):
        network = BaseClickNetwork()
        assert network(torch.empty(1, 1024, 64, 64), torch.empty(1, 3, 512, 512)).shape == (1, 1, 512, 512)
    assert sum(p.numel() for p in network.parameters()) > 50_000_000


def test_click_discs_have_the_papers_radii() -> None:
    discs = click_discs(torch.tensor([[[32.0, 32.0, 1.0], [10.0, 10.0, -1.0], [50.0, 50.0, 0.0]]]), 64, 64)[0]
    areas = discs.sum((1, 2))
    assert abs(float(areas[0]) - 314) < 10
    assert abs(float(areas[1]) - 79) < 6
