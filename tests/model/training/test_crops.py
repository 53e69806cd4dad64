from __future__ import annotations

import numpy as np
import pytest

from model.training.crops import Crop

HEIGHT, WIDTH = 256, 384  # working pixels


@pytest.mark.parametrize("size", [64, 96, 128])
def test_a_crop_lies_inside_on_the_grid_and_holds_the_defect(size: int) -> None:
    defect, rng = np.zeros((HEIGHT, WIDTH), bool), np.random.default_rng(0)
    defect[230, 380] = True
    for _ in range(50):
        crop = Crop.drawn(defect, size, 1.0, rng)
        assert crop.top % 8 == crop.left % 8 == 0
        assert 0 <= crop.top < crop.bottom == crop.top + size <= HEIGHT // 2
        assert 0 <= crop.left < crop.right == crop.left + size <= WIDTH // 2
        assert crop.of(defect[None], 1).sum() == 1


def test_without_a_defect_any_place_is_drawn() -> None:
    rng, nothing = np.random.default_rng(0), np.zeros((HEIGHT, WIDTH), bool)
    assert len({Crop.drawn(nothing, 16, 1.0, rng)[:2] for _ in range(50)}) > 5


@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16])
def test_maps_of_every_stride_show_the_same_place(stride: int) -> None:
    rows, columns = np.indices((HEIGHT, WIDTH)) // stride
    maps = np.stack([rows[::stride, ::stride], columns[::stride, ::stride]])
    found = Crop(16, 40, 48, 72, 32).of(maps, stride)
    assert found.shape == (2, 64 // stride, 64 // stride)
    assert found.dtype == np.float32
    assert found[:, 0, 0].tolist() == [32 // stride, 80 // stride]
    assert found[:, -1, -1].tolist() == [(32 + 64) // stride - 1, (80 + 64) // stride - 1]


def test_what_lies_outside_of_the_image_is_filled() -> None:
    crop = Crop.drawn(np.ones((HEIGHT, WIDTH), bool), 160, 1.0, np.random.default_rng(1))
    assert (crop.top, crop.bottom) == (0, HEIGHT // 2)
    found = crop.of(np.ones((3, HEIGHT // 4, WIDTH // 4), np.float32), 4, fill=-1.0)
    assert found.shape == (3, 80, 80)
    assert (found[:, : HEIGHT // 4] == 1).all()
    assert (found[:, HEIGHT // 4 :] == -1).all()
