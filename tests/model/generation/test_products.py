from __future__ import annotations

import numpy as np
import pytest

from model.generation.products import SIDE, SURFACES, Product


@pytest.mark.parametrize("seed", range(len(SURFACES)))
def test_pieces_of_a_product_are_alike_but_not_the_same(seed: int) -> None:
    product, rng = Product(seed), np.random.default_rng(0)
    first, second = product.image(rng), product.image(rng)
    other = Product(seed + len(SURFACES)).image(rng)
    assert first.shape == (SIDE, SIDE, 3)
    assert first.dtype == np.uint8
    assert not np.array_equal(first, second)

    def tone(image: np.ndarray) -> np.ndarray:
        return np.sort(image.reshape(-1, 3).astype(float), axis=0)[:: SIDE * 8]

    assert np.abs(tone(first) - tone(second)).mean() < np.abs(tone(first) - tone(other)).mean()


def test_the_same_seeds_draw_the_same_piece() -> None:
    a, b = (Product(3).image(np.random.default_rng(1)) for _ in range(2))
    assert np.array_equal(a, b)


def test_a_lacking_part_is_where_the_mask_says() -> None:
    found = next(f for s in range(0, 70, 7) if (f := Product(s).lacking(np.random.default_rng(s))))
    image, mask = found
    assert image.shape[:2] == mask.shape
    assert 30 <= mask.sum() < 0.3 * mask.size
    assert Product(1).lacking(np.random.default_rng(0)) is None  # cloth has no parts
