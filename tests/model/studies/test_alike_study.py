"""The study of parts that look alike: what it clicks, counts and prints."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from model.commands.alike_study import table
from model.datasets.mvtec import Category
from model.studies import alike_study
from model.studies.alike_study import drawn_images, measure, photographed_images, summed
from tests.helpers.plates import SmallPredictor, plate


def row(clicks: int, true: int, found: int, half: int, quarter: int) -> dict[str, object]:
    return {
        "product": "drawn",
        "clicks": clicks,
        "true": true,
        "found": found,
        "matched@0.5": half,
        "matched@0.25": quarter,
        "seconds": 0.5,
    }


def test_recall_and_precision_are_those_of_all_parts_together() -> None:
    rows = [row(1, 10, 8, 4, 6), row(1, 2, 2, 2, 2), row(2, 10, 10, 10, 10)]
    assert summed(rows, 1, 0.5) == (0.5, 0.6)
    assert summed(rows, 1, 0.25) == (8 / 12, 0.8)
    assert table(rows).splitlines()[2:] == [
        "| drawn | 2 | 12 | 1 | 50.0 | 60.0 | 66.7 | 80.0 | 0.50 |",
        "| drawn | 1 | 10 | 2 | 100.0 | 100.0 | 100.0 | 100.0 | 0.50 |",
    ]


def test_a_drawn_image_is_clicked_twice_and_the_same_each_time() -> None:
    predictor = SmallPredictor()
    (image,) = drawn_images(predictor, 1, 1, seed=3)
    first, second = measure(predictor, image, 1)
    assert (first["clicks"], second["clicks"]) == (1, 2)
    assert first["true"] == len(image.parts) >= 5
    assert 0 <= first["matched@0.5"] <= first["matched@0.25"] <= min(first["true"], first["found"])
    again = measure(predictor, image, 1)
    assert [{**each, "seconds": 0} for each in again] == [{**each, "seconds": 0} for each in (first, second)]


def test_the_second_click_corrects_the_largest_mistake() -> None:
    def block(top: int, side: int) -> np.ndarray:
        mask = np.zeros((40, 40), bool)
        mask[top : top + side, 3 : 3 + side] = True
        return mask

    missed = alike_study._second([block(0, 6)], [block(0, 6), block(20, 9)])
    assert missed is not None and missed.positive and missed.y > 20
    false = alike_study._second([block(0, 6), block(20, 9)], [block(0, 6), block(32, 4)])
    assert false is not None and not false.positive and 20 < false.y < 30
    assert alike_study._second([block(0, 6)], [block(0, 6)]) is None


def test_photographs_are_chosen_by_the_number_of_their_parts(tmp_path: Path) -> None:
    folders = ("train/good", "test/hole", "ground_truth/hole")
    for folder in folders:
        (tmp_path / "set/plate" / folder).mkdir(parents=True)
    for number in range(2):
        cv2.imwrite(str(tmp_path / f"set/plate/train/good/{number}.png"), plate(number))
    for number in range(1, 4):
        mask = np.zeros((96, 128), np.uint8)
        for part in range(number):
            mask[10:16, 10 + 30 * part : 16 + 30 * part] = 255
        cv2.imwrite(str(tmp_path / f"set/plate/test/hole/{number}.png"), plate(number))
        cv2.imwrite(str(tmp_path / f"set/plate/ground_truth/hole/{number}_mask.png"), mask)
    category, predictor = Category(tmp_path / "set/plate"), SmallPredictor()
    names = {image.name for image in photographed_images(predictor, category, 2, 3, 5, seed=1)}
    assert names == {"2", "3"}
    assert len(list(photographed_images(predictor, category, 1, 20, 2, seed=1))) == 2
    with pytest.raises(ValueError, match="without pixels"):
        alike_study._middle(np.zeros((4, 4), bool), True)
