from __future__ import annotations

import numpy as np
import pytest

from model.generation.synthesis import KINDS, add_defect, noise


@pytest.fixture(scope="module")
def product() -> np.ndarray:
    field = noise((96, 128), np.random.default_rng(5), 20)
    return np.repeat((90 + 80 * field)[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_changes_what_its_mask_says(product: np.ndarray, kind: str) -> None:
    changed_inside, changed_outside = [], []
    for seed in range(6):
        image, mask, _ = add_defect(product, np.random.default_rng(seed), kind)
        difference = np.abs(image.astype(int) - product).max(2)
        assert image.shape == product.shape
        assert image.dtype == np.uint8
        assert 12 <= mask.sum() < 0.4 * mask.size
        changed_inside.append(difference[mask].mean())
        changed_outside.append(difference[~mask].mean())
    assert np.mean(changed_inside) > 10 * np.mean(changed_outside) + 5


def test_the_same_seed_draws_the_same_defect(product: np.ndarray) -> None:
    a, b = (add_defect(product, np.random.default_rng(9)) for _ in range(2))
    assert np.array_equal(a[0], b[0])
    assert np.array_equal(a[1], b[1])
    assert a[2] == b[2]


def test_kinds_are_all_drawn(product: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    assert {add_defect(product, rng)[2] for _ in range(80)} == set(KINDS)
