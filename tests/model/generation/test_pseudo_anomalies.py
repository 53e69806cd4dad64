from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from model.generation.cutpaste import AREA, cut_paste
from model.generation.perlin import perlin, perlin_defect, texture
from model.generation.pseudo_anomalies import pseudo_anomaly
from tests.helpers.plates import plate

MAKERS = [cut_paste, perlin_defect, pseudo_anomaly]


@pytest.mark.parametrize("make", MAKERS)
def test_only_what_the_mask_says_is_changed(make) -> None:  # type: ignore[no-untyped-def]
    image = plate(0)
    changed = []
    for seed in range(30):
        found, mask = make(image, np.random.default_rng(seed))
        assert (found.shape, found.dtype) == (image.shape, np.uint8)
        assert (mask.shape, mask.dtype) == (image.shape[:2], bool)
        assert mask.any()
        assert np.array_equal(found[~mask], image[~mask])
        changed.append(np.abs(found[mask].astype(int) - image[mask]).mean())
    assert np.median(changed) > 5
    assert np.array_equal(image, plate(0)), "the good image itself is left alone"


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_seed_makes_the_same_anomaly(make) -> None:  # type: ignore[no-untyped-def]
    (a, mask), (b, other) = (make(plate(1), np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(a, b)
    assert np.array_equal(mask, other)


def test_half_of_what_is_pasted_are_scars_and_the_rest_rectangles_of_the_paper_s_sizes() -> None:
    image = np.repeat(plate(0), 2, axis=0)[:, :128]  # 192 x 128
    shares = [float(cut_paste(image, np.random.default_rng(seed))[1].mean()) for seed in range(200)]
    rectangles = [share for share in shares if share > 0.75 * AREA[0]]
    assert 70 < len(rectangles) < 130
    assert max(shares) < 1.1 * AREA[1]


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (40, 2)])
def test_images_of_any_size_can_be_pasted_on(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 120, np.uint8)
    for seed in range(20):
        found, mask = cut_paste(image, np.random.default_rng(seed))
        assert found.shape == image.shape
        assert mask.any()


def test_perlin_noise_is_zero_at_the_corners_of_its_cells_and_smooth_between() -> None:
    field = perlin((400, 800), (4, 8), np.random.default_rng(0))
    corners = field[np.ix_(np.arange(100, 400, 100), np.arange(100, 800, 100))]
    assert np.abs(corners).max() < 0.02
    assert 0.3 < np.abs(field).max() <= 1
    assert max(np.abs(np.diff(field, axis=axis)).max() for axis in (0, 1)) < 0.05


def test_textures_are_drawn_and_differ() -> None:
    drawn = [texture((48, 64), np.random.default_rng(seed)) for seed in range(8)]
    assert {t.shape for t in drawn} == {(48, 64, 3)}
    assert all(np.abs(a.astype(int) - b).mean() > 3 for a, b in pairwise(drawn))
