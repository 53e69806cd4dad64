from __future__ import annotations

import torch

from model.evidence.prepared import CHANNELS
from model.evidence.previous_mask import MASK_CHANNELS, mask_evidence, towards_mask
from model.interactive.lite import LiteClickNetwork, LiteConfig
from tests.helpers.evidence import prepared

SPREAD = slice(1, 6)
GRID = (24, 40)


def test_the_mask_itself_comes_first() -> None:
    previous = torch.rand(2, 1, 32, 48)
    maps = mask_evidence(prepared(2), previous)
    assert maps.shape == (2, MASK_CHANNELS, 32, 48)
    assert torch.equal(maps[:, :1], previous)


def test_only_a_network_that_is_told_sees_the_mask() -> None:
    clicks, shown = torch.tensor([[[20.5, 10.5, 1.0]]]), {}
    for told in (False, True):
        network = LiteClickNetwork(LiteConfig(previous=told)).eval()
        empty, full = (
            network.inputs(prepared(), clicks, m)[0]
            for m in (torch.zeros(1, 1, 32, 48), torch.ones(1, 1, 32, 48))
        )
        assert torch.equal(empty, full) != told
        assert network(full).shape == (1, 1, 64, 96)
        shown[told] = full
    assert torch.equal(shown[True][:, :CHANNELS], shown[False])


def test_what_the_mask_so_far_holds_is_more_likely_than_the_rest() -> None:
    prepared_image, previous = prepared(), torch.zeros(1, 1, 32, 48)
    previous[..., 8:16, 8:24] = 1.0
    for level in prepared_image.levels.values():
        ratio = 32 // level.shape[-2]
        level[..., 8 // ratio : 16 // ratio, 8 // ratio : 24 // ratio] += 3.0
    likeness = mask_evidence(prepared_image, previous)[0, SPREAD][:-1]
    assert (likeness[:, 10:14, 12:20].mean((1, 2)) > likeness[:, 24:, 32:].mean((1, 2)) + 0.5).all()
    nothing_yet = mask_evidence(prepared_image, torch.zeros(1, 1, 32, 48))[0, SPREAD]
    assert float(nothing_yet.abs().max()) == 0.0


def test_the_side_of_the_mask_is_positive_inside_and_unknown_without_one() -> None:
    maps = torch.randn(1, 8, *GRID, generator=torch.Generator().manual_seed(1)) * 0.3
    maps[..., 8:16, 10:20] += 1.0
    mask = torch.zeros(1, 1, 4 * GRID[0], 4 * GRID[1])
    assert float(towards_mask(maps, mask).abs().max()) == 0.0
    mask[..., 32:64, 40:60] = 1.0  # the left half of it
    side = towards_mask(maps, mask)[0, 0]
    assert float((side[8:16, 15:20] > 0).float().mean()) > 0.9  # the right half is taken to be alike
    assert float((side[18:] < 0).float().mean()) > 0.9
