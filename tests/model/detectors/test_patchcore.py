from __future__ import annotations

import numpy as np
import pytest
import torch

from model.detectors.patchcore import PatchCore, k_centres
from tests.helpers.plates import SmallPredictor, plate, stained


def test_centres_cover_every_cluster() -> None:
    """Farthest-first finds the one outlier that random picks would miss."""
    points = torch.randn(500, 8, generator=torch.Generator().manual_seed(0)) * 0.1
    points[123] += 50
    points[:100] -= 20
    chosen = k_centres(points, 3)
    assert 123 in chosen.tolist()
    assert len({bool(points[i, 0] < -10) for i in chosen.tolist()}) == 2
    assert torch.equal(k_centres(points, 500), torch.arange(500))


def test_no_point_is_farther_than_twice_the_best_radius() -> None:
    points = torch.rand(200, 2, generator=torch.Generator().manual_seed(0))
    chosen = k_centres(points, 16)
    radius = float(torch.cdist(points, points[chosen]).amin(1).max())
    assert radius <= 2 * 0.25, (
        "a 4 x 4 grid covers the unit square with radius 0.18; greedy is within twice that"
    )
    assert len(set(chosen.tolist())) == 16


def test_a_stain_is_farther_from_the_bank_than_the_plate() -> None:
    predictor = SmallPredictor()
    bank = PatchCore([predictor.encode(plate(i)) for i in range(3)], coreset=60)
    assert len(bank.bank) == 60
    image, mask = stained(9)
    found = bank.map(predictor.encode(image))
    assert found.shape == mask.shape
    assert found.dtype == np.float32
    assert found[mask].mean() > 1.5 * found[~mask].mean()


def test_without_references_there_is_no_bank() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        PatchCore([])
