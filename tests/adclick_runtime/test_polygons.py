"""Masks as polygons and back: the same to the pixel, holes and all, one polygon a connected part."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_runtime.polygons import mask_of, polygons_of


def ring(size: int, outer: int, inner: int) -> NDArray[np.bool_]:
    away = np.hypot(*(np.indices((size, size)) - size // 2))
    return np.asarray((away <= outer) & (away > inner))


def even_odd(polygon: NDArray[np.int32], height: int, width: int) -> NDArray[np.bool_]:
    """The inside of a polygon and its corners' border, each pixel asked by itself: crossings of a ray to the right."""
    found = np.zeros((height, width), bool)
    ends = np.roll(polygon, -1, axis=0).astype(float)
    for y in range(height):
        for x in range(width):
            crossings, border = 0, False
            for (x0, y0), (x1, y1) in zip(polygon.astype(float), ends, strict=True):
                along = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
                if along == 0 and min(x0, x1) <= x <= max(x0, x1) and min(y0, y1) <= y <= max(y0, y1):
                    border = True
                if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
                    crossings += 1
            found[y, x] = border or crossings % 2 == 1
    return found


@pytest.mark.parametrize("seed", range(60))
def test_noise_comes_back_to_the_pixel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 60, 2)
    mask = rng.random((height, width)) < rng.random()
    if seed % 2:
        mask = cv2.GaussianBlur(rng.random((height, width)), (0, 0), 1.5) > 0.5
    polygons = polygons_of(mask)
    assert np.array_equal(mask_of(polygons, height, width), mask)
    assert len(polygons) == cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1


def test_a_hole_with_an_island_in_it_that_has_a_hole_itself() -> None:
    mask = ring(61, 28, 20) | ring(61, 12, 5)
    polygons = polygons_of(mask)
    assert len(polygons) == 2
    assert np.array_equal(mask_of(polygons, 61, 61), mask)


def test_many_holes_in_one_part_and_an_independent_filling() -> None:
    mask = np.ones((17, 23), bool)
    mask[2:-2:3, 2:-2:4] = False
    mask[8, 5:15] = False
    (polygon,) = polygons_of(mask)
    assert np.array_equal(even_odd(polygon, 17, 23), mask)


def test_corners_alone_are_given_and_small_parts_have_fewer_than_three() -> None:
    mask = np.zeros((20, 20), bool)
    mask[1, 1] = mask[4, 3:9] = mask[8:15, 2:12] = True
    assert [polygon.tolist() for polygon in polygons_of(mask)] == [
        [[1, 1]],
        [[3, 4], [8, 4]],
        [[2, 8], [2, 14], [11, 14], [11, 8]],
    ]


def test_nothing_has_no_polygon() -> None:
    assert polygons_of(np.zeros((5, 6), bool)) == []
    assert not mask_of([], 5, 6).any()
