from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from model.checkpoint.manifest import LITE
from model.commands.study import click_table
from model.datasets.mvtec import Category
from model.studies import click_study
from model.training.interactive.adaptation import Adaptation
from model.training.interactive.batches import ClickTraining
from tests.helpers.plates import plate, stained

TINY = Adaptation(ClickTraining(steps=1, crops=((32, 1, 1.0),)), synthetic=1)


@pytest.fixture
def product(tmp_path: Path) -> Category:
    """Four good plates and two stained ones."""
    root = tmp_path / "drawn" / "plate"
    for kind in ("train/good", "test/stain", "ground_truth/stain"):
        (root / kind).mkdir(parents=True)
    for i in range(4):
        cv2.imwrite(str(root / f"train/good/{i}.png"), plate(i))
    for i in range(2):
        image, mask = stained(50 + i)
        cv2.imwrite(str(root / f"test/stain/{i}.png"), image)
        cv2.imwrite(str(root / f"ground_truth/stain/{i}_mask.png"), mask.astype(np.uint8) * 255)
    return Category(root)


def test_clicks_are_measured_before_and_after_on_the_other_half(product: Category, tmp_path: Path) -> None:
    results = list(click_study.run([product], tmp_path / "clicks.jsonl", 1, LITE.click, TINY))
    assert [r["setting"] for r in results] == [
        click_study.BEFORE, click_study.SYNTHETIC, click_study.LABELLED,
    ]  # fmt: skip
    assert all(0 <= r[str(n)] <= 1 for r in results for n in click_study.SHOWN)
    assert click_table(results).splitlines()[2].startswith("| plate |")


def test_the_table_has_the_gain_of_each_product() -> None:
    rows = [
        {"product": "a/nut", "split": 0, "setting": name, **{str(n): value for n in click_study.SHOWN}}
        for name, value in (
            (click_study.BEFORE, 0.5),
            (click_study.SYNTHETIC, 0.45),
            (click_study.LABELLED, 0.6),
        )
    ]
    lines = click_table(rows).splitlines()
    assert (
        lines[2]
        == "| nut | 50.0 / 50.0 / 50.0 / 50.0 | -5.0 / -5.0 / -5.0 / -5.0 | +10.0 / +10.0 / +10.0 / +10.0 |"
    )
    assert lines[-1].startswith("| all 1 |")
