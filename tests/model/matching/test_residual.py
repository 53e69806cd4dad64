from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from model.features.encoding import Encoded
from model.interactive.config import ClickConfig
from model.matching.nearest import Cells, MatchingConfig, nearest
from model.matching.residual import match, mismatch_ratio
from model.matching.retrieval import Retrieved, retrieve


def encoded(seed: int, side: int = 64) -> Encoded:
    generator = torch.Generator().manual_seed(seed)
    pyramid = {
        s: torch.randn(1, c, side // s, side // s, generator=generator)
        for s, c in ((4, 6), (8, 10), (16, 14))
    }
    return Encoded(torch.rand(1, 3, side // 2, side // 2, generator=generator), pyramid, torch.randn(360))


def test_an_image_among_its_references_has_no_residual() -> None:
    image = encoded(0)
    residual = match(image, Retrieved([encoded(1), image]))
    assert all(float(e.max()) < 1e-4 for e in residual.energies.values())


def test_energies_come_at_their_own_strides() -> None:
    residual = match(encoded(0), Retrieved([encoded(1), encoded(2, side=128)]))
    sizes = {name: tuple(e.shape[-2:]) for name, e in residual.energies.items()}
    assert sizes == {"joint": (8, 8), "stride4": (8, 8), "stride8": (8, 8), "stride16": (8, 8), "fine": (16, 16),
                     "colour": (32, 32)}  # fmt: skip
    assert residual.vectors.shape == (1, 16, 8, 8)


def test_a_changed_place_stands_out_from_its_own_reference() -> None:
    reference = encoded(0)
    image = Encoded(
        reference.colour.clone(), {s: m.clone() for s, m in reference.pyramid.items()}, reference.descriptor
    )
    image.pyramid[8][..., 3, 5] += 8
    joint = match(image, Retrieved([reference])).energies["joint"][0, 0]
    assert divmod(int(joint.argmax()), 8) in {(r, c) for r in (2, 3, 4) for c in (4, 5, 6)}
    assert float(joint[3, 5]) > 10 * float(joint.median() + 1e-3)


def test_without_references_no_cell_is_matched_with_itself() -> None:
    """A reference must never be matched with itself; without any, the image's own near cells are left out."""
    features = torch.randn(1, 12, 10, 10)
    found = nearest(features, Cells.of([features]), itself=True)
    own = torch.arange(100).view(10, 10)
    distance = ((found.row - own // 10) ** 2 + (found.column - own % 10) ** 2).sqrt()
    assert float(distance.min()) >= 2.0


def test_nearest_agrees_with_exhaustive_distances() -> None:
    anywhere = MatchingConfig(position_weight=0.0)
    torch.manual_seed(3)
    query, bank = torch.randn(1, 20, 6, 7), [torch.randn(1, 20, 5, 5), torch.randn(1, 20, 6, 7)]
    cells = Cells.of(bank)
    found = (query - cells.at(nearest(query, cells, config=anywhere))).square().sum(1).sqrt().flatten()
    own, all_cells = query[0].flatten(1).T, torch.cat([b[0].flatten(1).T for b in bank])
    assert torch.all(found <= torch.cdist(own, all_cells).min(1).values * 1.05 + 0.05)


def test_a_large_bank_is_searched_sparsely_and_almost_as_well() -> None:
    torch.manual_seed(0)
    smooth = [
        F.avg_pool2d(torch.randn(1, 20, 66, 66), 3, 1) * 3 for _ in range(4)
    ]  # as features are averaged
    query, bank = smooth[0], smooth[1:]
    cells = Cells.of(bank)
    found = (query - cells.at(nearest(query, cells))).square().sum(1)
    all_cells = torch.cat([b[0].flatten(1).T for b in bank])
    best = torch.cdist(query[0].flatten(1).T, all_cells).square().min(1).values
    assert float(found.mean()) < 1.25 * float(best.mean())


def test_the_position_prior_prefers_the_own_place_among_equals() -> None:
    flat = torch.ones(1, 4, 9, 9)
    found, own = nearest(flat, Cells.of([flat])), torch.arange(81).view(9, 9)
    away = (found.row - own // 9).abs() + (found.column - own % 9).abs()
    assert int(away.max()) <= 1  # bfloat16 does not tell the nearest neighbours apart


def test_retrieval_ignores_the_part_of_an_image_that_differs_most() -> None:
    """A defect must not choose the references: a fifth of the blocks is left out."""
    query = torch.zeros(36 * 10)
    defective_twin = query.clone()
    defective_twin[:70] = 100.0  # seven of 36 blocks
    other = torch.full_like(query, 0.5)
    assert retrieve(query, torch.stack([other, defective_twin]), 2) == [1, 0]
    assert retrieve(query, torch.stack([other]), 8) == [0]


def test_no_reference_at_all_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="pass the image itself"):
        Retrieved([])


def test_a_cloth_the_other_way_round_does_not_fit() -> None:
    generator = torch.Generator().manual_seed(3)

    def woven(turned: bool, shift: int) -> Encoded:
        image = encoded(5, side=128)
        for stride, maps in image.pyramid.items():
            stripes = (torch.arange(128 // stride) + shift) % 2 * 4.0
            noise = 0.3 * torch.randn(maps.shape, generator=generator)
            image.pyramid[stride] = noise + (stripes[:, None] if turned else stripes) * torch.linspace(
                -1, 1, maps.shape[1]
            ).view(1, -1, 1, 1) * (1 if turned else -1)
        return image

    alike, turned = (mismatch_ratio(woven(False, 0), Retrieved([woven(t, 1)])) for t in (False, True))
    assert alike < ClickConfig().largest_mismatch_ratio < turned
