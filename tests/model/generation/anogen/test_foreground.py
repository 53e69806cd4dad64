from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model.generation.anogen.foreground import GRID, Foreground
from tests.helpers.tiny_painter import cloth, nut


def overlap(found: NDArray[np.bool_], image: NDArray[np.uint8]) -> float:
    """Intersection over union of a grid with the bright disc of a nut."""
    true = (
        cv2.resize((image[..., 0] > 100).astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA) > 0.5
    )
    return float((found & true).sum() / (found | true).sum())


@pytest.mark.parametrize("shape", [(120, 160), (48, 40), (700, 300)])
def test_a_product_is_found_wherever_it_lies(shape: tuple[int, int]) -> None:
    foreground = Foreground.of([nut(seed, shape) for seed in range(6)])
    for seed in range(6, 12):
        image = nut(seed, shape)
        assert overlap(foreground.find(image), image) > 0.8


def test_a_single_good_image_is_enough_to_find_it() -> None:
    assert overlap(Foreground.of([nut(0)]).find(nut(1)), nut(1)) > 0.8


def stripes(seed: int) -> NDArray[np.uint8]:
    return (np.indices((120, 160))[1] // 8 % 2 * 80 + 90)[..., None].repeat(3, 2).astype(np.uint8)


def uneven(seed: int) -> NDArray[np.uint8]:
    """A surface that is lit from one side, another one each time."""
    slope = np.rot90(np.linspace(60, 200, 160)[None].repeat(160, 0), seed)
    return np.clip(slope[..., None] + np.random.default_rng(seed).normal(0, 5, (160, 160, 3)), 0, 255).astype(
        np.uint8
    )


def road(seed: int) -> NDArray[np.uint8]:
    """A surface with a bright line somewhere."""
    image, rng = cloth(seed), np.random.default_rng(seed)
    x = int(rng.integers(20, 140))
    image[:, x - 6 : x + 6] = 240
    return image


def black(seed: int) -> NDArray[np.uint8]:
    return np.zeros((120, 160, 3), np.uint8)


@pytest.mark.parametrize("surface", [cloth, stripes, uneven, road, black])
def test_a_surface_is_all_product(surface: object) -> None:
    assert callable(surface)
    foreground = Foreground.of([surface(seed) for seed in range(6)])
    assert foreground.common is None
    assert foreground.find(surface(7)).all() and foreground.find(surface(7)).shape == (GRID, GRID)


def board(seed: int) -> NDArray[np.uint8]:
    """A dark part in the middle of a patterned board, of which the border shows every colour but not every spot."""
    rng = np.random.default_rng(seed)
    board = np.where(np.indices((16, 16)).sum(0)[..., None] % 2, [150, 90, 60], [60, 50, 40])
    image = cv2.resize(board.astype(np.uint8), (160, 160), interpolation=cv2.INTER_NEAREST)
    image = np.roll(image, int(rng.integers(20)), 0)
    cv2.rectangle(image, (55, 50), (105, 110), (210, 210, 230), -1)
    return image


def test_what_is_in_the_middle_of_all_images_is_the_product_on_a_patterned_board() -> None:
    found = Foreground.of([board(seed) for seed in range(8)]).find(board(9))
    true = np.zeros((GRID, GRID), bool)
    true[40:89, 44:85] = True
    assert (found & true).sum() / (found | true).sum() > 0.75


def test_holes_and_specks_are_closed_and_left_out() -> None:
    def ring(seed: int) -> NDArray[np.uint8]:
        image = nut(seed)
        rows, columns = np.nonzero(image[..., 0] > 100)
        cv2.circle(image, (round(columns.mean()), round(rows.mean())), 12, (40, 40, 40), -1)
        cv2.circle(image, (8, 8), 2, (150, 100, 60), -1)
        return image

    found = Foreground.of([ring(seed) for seed in range(4)]).find(ring(5))
    whole = nut(5)
    assert overlap(found, whole) > 0.8 and not found[:12, :12].any()


def test_without_a_good_image_everything_is_product() -> None:
    assert Foreground.of([]).find(nut(0)).all()
