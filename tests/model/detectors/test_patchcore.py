from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adclick_runtime.frame import Frame
from model.checkpoint.manifest import CheckpointError
from model.detectors.checkpoint import DetectorCheckpoint, Part, read_detector, write_detector
from model.detectors.detector import Scene
from model.detectors.methods import detector_of
from model.detectors.patchcore import PatchCore, PatchCoreBanks, PatchCoreConfig, k_centres
from tests.helpers.plates import SmallPredictor, plate, stained

PRODUCTS = {"steel.plate": range(3), "other": range(10, 12)}


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
    bank = PatchCore.fitted([predictor.encode(plate(i)) for i in range(3)], coreset=60)
    assert len(bank.bank) == 60
    image, mask = stained(9)
    found = bank.map(predictor.encode(image))
    assert found.shape == mask.shape
    assert found.dtype == np.float32
    assert found[mask].mean() > 1.5 * found[~mask].mean()


def test_without_references_there_is_no_bank() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        PatchCore.fitted([])
    with pytest.raises(ValueError, match="at least one product"):
        PatchCoreBanks.fitted({})


def test_the_banks_of_products_are_a_detector_that_a_checkpoint_holds(tmp_path: Path) -> None:
    predictor = SmallPredictor()
    encoded = {name: [predictor.encode(plate(i)) for i in seeds] for name, seeds in PRODUCTS.items()}
    banks = PatchCoreBanks.fitted(encoded, coreset=40)
    part = Part("patchcore", "patchcore", asdict(banks.config), banks.state_dict())
    out = tmp_path / "bank.safetensors"
    write_detector(out, DetectorCheckpoint("v1", predictor.backbone_id, 128, [part], ["patchcore"]))
    (kept,) = read_detector(out).parts
    detector = detector_of(kept, predictor.backbone_id, 128, out.name)
    image, mask = stained(9)
    seen = Scene("steel.plate", Frame.of(96, 128, 128), predictor.encode(image), [])
    map_, score = detector.look(seen)
    assert np.allclose(map_, PatchCore.fitted(encoded["steel.plate"], 40).map(seen.image), rtol=2e-2)
    assert score == map_.max()
    assert map_[mask].mean() > 1.5 * map_[~mask].mean()
    with pytest.raises(ValueError, match=r"knows 'steel\.plate', 'other', and not the product 'third'"):
        detector.look(replace(seen, product="third"))


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({}, "'products'"),
        ({"products": ["a"], "patches": [3, 4], "channels": [1, 1, 1]}, "1 products with 2 sizes"),
        ({"products": ["a"], "patches": [0], "channels": [1, 1, 1]}, "at least 1"),
        ({"products": ["a"], "patches": [10**12], "channels": [1, 1, 1]}, "at most 4096"),
        ({"products": ["a"], "patches": ["3"], "channels": [1, 1, 1]}, "no whole number"),
    ],
)
def test_sizes_that_are_none_are_refused_in_words(sizes: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        PatchCoreConfig.read(sizes, "bank.safetensors")
