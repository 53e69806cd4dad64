"""COCO's run lengths against code that counts pixel by pixel and writes bit by bit."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_runtime import coco_rle
from tests.helpers.coco_rle import lengths_of, packed

HEIGHT, WIDTH = 30, 40
CIRCLE = (np.add.outer((np.arange(HEIGHT) - 14) ** 2, (np.arange(WIDTH) - 21) ** 2)) < 81


def masks() -> list[NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    noise = [cv2.GaussianBlur(rng.random((HEIGHT, WIDTH)), (0, 0), 2) > level for level in (0.35, 0.5, 0.6)]
    return [
        CIRCLE,
        ~CIRCLE,
        CIRCLE & False,
        CIRCLE | True,
        CIRCLE[:1],
        CIRCLE[:, 20:21],
        rng.random((7, 9)) < 0.5,
        *noise,
    ]


@pytest.mark.parametrize("mask", masks())
def test_both_ways(mask: NDArray[np.bool_]) -> None:
    height, width = mask.shape
    lengths = lengths_of(mask)
    assert coco_rle.lengths_of(mask).tolist() == lengths
    said = coco_rle.encoded(mask)
    assert said == {"size": [height, width], "counts": packed(lengths)}
    assert coco_rle.unpacked(said["counts"]) == lengths
    for counts in (lengths, said["counts"]):
        assert np.array_equal(
            coco_rle.decoded({"size": [height, width], "counts": counts}, height, width), mask
        )


def test_as_cocos_own_tools_write_it() -> None:
    assert coco_rle.encoded(CIRCLE)["counts"] == "`<9d02N2N2N2O0000000000000001N2N2N2NS9"


def test_a_mask_of_many_megapixels() -> None:
    mask = np.zeros((9000, 8000), bool)
    mask[8999, 7999] = True
    said = coco_rle.encoded(mask)
    assert coco_rle.unpacked(said["counts"]) == [71_999_999, 1]
    assert said["counts"] == packed([71_999_999, 1])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"size": [30, 41], "counts": [1230]}, "do not fit an image of 30 x 40"),
        ({"size": [30, 40], "counts": [1199]}, "do not fill 30 x 40"),
        ({"size": [30, 40], "counts": [1300, -100]}, "whole numbers from 0 on"),
        ({"size": [30, 40], "counts": None}, "whole numbers from 0 on"),
        ({"size": [30, 40], "counts": "Y"}, "end within a number"),
        ({"size": [30, 40], "counts": "é"}, "have no 'é'"),
    ],
)
def test_damaged_run_lengths_are_refused_in_words(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        coco_rle.decoded(wrong, HEIGHT, WIDTH)
