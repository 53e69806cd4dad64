from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from draw_samples import draw, main
from drawing.products import PRODUCTS
from walkthrough import next_click, overlap

from adclick_backend.config.labeling_config import parse_labeling_config

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("product", sorted(PRODUCTS))
def test_every_defect_is_drawn_with_its_true_mask(product: str) -> None:
    for defect in PRODUCTS[product].defects:
        image, mask = draw(product, defect, seed=5, size=192)
        assert image.shape == (192, 192, 3) and image.dtype == np.uint8
        assert mask.shape == (192, 192) and mask.dtype == np.bool_
        assert 20 < mask.sum() < 0.1 * mask.size, defect


def test_a_good_image_has_no_defect_and_looks_natural() -> None:
    first, second = (draw("flange", seed=seed, size=192) for seed in (1, 2))
    assert not first.mask.any()
    difference = np.abs(first.image.astype(int) - second.image).mean()
    assert 2 < difference < 80  # another pose and another light, of the same product


def test_the_same_seed_draws_the_same_image() -> None:
    first, second = (draw("cap", "crack", seed=3, size=128) for _ in range(2))
    assert np.array_equal(first.image, second.image) and np.array_equal(first.mask, second.mask)


def test_the_defect_is_where_the_mask_says() -> None:
    """Drawn with the same product and light, only the masked pixels (and their soft edge) may differ."""
    from drawing.defects import DEFECTS
    from drawing.surface import photograph, random_pose

    pictures = []
    for defective in (False, True):
        rng = np.random.default_rng(11)
        surface = PRODUCTS["cap"].draw(rng, 256, 192.0)
        pose = random_pose(rng, 192, turn=180)
        where = DEFECTS["scratch"](surface, np.random.default_rng(5), 192.0)
        if not defective:
            surface = PRODUCTS["cap"].draw(np.random.default_rng(11), 256, 192.0)
        pictures.append(photograph(surface, where, pose, 192, np.random.default_rng(0)))
    (good, _), (bad, mask) = pictures
    changed = np.abs(good.astype(int) - bad).max(axis=2) > 12
    near = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert changed[mask].mean() > 0.5
    assert changed[~near].mean() < 0.001


def test_the_data_set_has_the_layout_of_mvtec(tmp_path: Path) -> None:
    words = [str(tmp_path), "--products", "cloth", "--good", "2", "--per-defect", "1", "--size", "96"]
    assert main(words) == 0
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png"))
    defects = PRODUCTS["cloth"].defects
    expected = ["cloth/test/good/002.png", "cloth/train/good/000.png", "cloth/train/good/001.png"]
    expected += [f"cloth/test/{defect}/000.png" for defect in defects]
    expected += [f"cloth/ground_truth/{defect}/000_mask.png" for defect in defects]
    assert found == sorted(expected)
    mask = cv2.imread(str(tmp_path / f"cloth/ground_truth/{defects[0]}/000_mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask is not None and set(np.unique(mask)) == {0, 255}


def test_the_labeling_config_is_ready_and_names_every_drawn_defect() -> None:
    config = parse_labeling_config((EXAMPLES / "labeling_config.xml").read_text())
    assert config.problems == () and config.can_click
    assert {defect for product in PRODUCTS.values() for defect in product.defects} <= set(config.brush_labels)
    assert "normal" in config.main.choices


def test_clicks_go_where_a_person_would_click() -> None:
    truth = np.zeros((40, 60), bool)
    truth[10:30, 20:50] = True
    first = next_click(np.zeros_like(truth), truth)
    assert first.positive and truth[int(first.y), int(first.x)]
    too_much = truth.copy()
    too_much[:, :15] = True
    second = next_click(too_much, truth)
    assert not second.positive and second.x < 15
    assert overlap(truth, truth) == 1.0
    assert overlap(too_much, truth) == pytest.approx(600 / 1200)
