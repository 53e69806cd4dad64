"""Drawn images with many equal pits."""

from __future__ import annotations

import numpy as np
import pytest

from model.generation.products import Product
from model.generation.repeated import FEWEST, MOST, repeated_pits
from model.metrics.parts import parts_of


@pytest.mark.parametrize("seed", range(4))
def test_the_pits_are_many_apart_and_alike_in_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    good = Product(seed).image(rng)
    drawn = repeated_pits(good, rng)
    parts = parts_of(drawn.mask)
    assert FEWEST <= len(parts) <= MOST
    areas = [int(part.sum()) for part in parts]
    assert max(areas) < 3 * min(areas)
    assert not (drawn.mask & drawn.other).any()
    changed = np.abs(drawn.image.astype(int) - good).max(2)
    assert np.median(changed[drawn.mask]) > 20
    assert changed[~(drawn.mask | drawn.other)].mean() < 3


def test_the_same_seed_draws_the_same() -> None:
    first, second = (
        repeated_pits(Product(1).image(np.random.default_rng(1)), np.random.default_rng(2)) for _ in range(2)
    )
    assert np.array_equal(first.image, second.image) and np.array_equal(first.mask, second.mask)
