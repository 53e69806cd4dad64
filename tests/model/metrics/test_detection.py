"""The figures of a product against scikit-learn, ADEval and a loop over thresholds, on scores with and without ties."""

from __future__ import annotations

from statistics import fmean

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from model.metrics.detection import FIGURES, SUMMED_UP, detection_figures

Case = tuple[list[NDArray[np.float32]], list[NDArray[np.bool_]], list[float]]


def case(levels: int, seed: int = 0) -> Case:
    """Six images, two of them good, and a score for each; with ``levels`` many scores are equal."""
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for number in range(6):
        mask = np.zeros((32, 40), bool)
        for _ in range(3 * (number < 4)):
            y, x = rng.integers(0, 26), rng.integers(0, 34)
            mask[y : y + rng.integers(2, 7), x : x + rng.integers(2, 7)] = True
        scores = rng.normal(1.0 + 0.8 * mask, 0.5) ** 2
        maps.append((np.round(scores * levels) / levels if levels else scores).astype(np.float32))
        masks.append(mask)
    scores = [
        float(np.round(rng.normal(mask.any(), 0.8) * (levels or 1000)) / (levels or 1000)) for mask in masks
    ]
    return maps, masks, scores


def defective(masks: list[NDArray[np.bool_]]) -> list[bool]:
    return [bool(mask.any()) for mask in masks]


def best_f1(truth: NDArray[np.bool_], scores: NDArray[np.float32]) -> float:
    precision, recall, _ = precision_recall_curve(truth, scores)
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)))


@pytest.mark.parametrize("levels", [0, 2, 12])
def test_the_ranked_figures_are_those_of_scikit_learn(levels: int) -> None:
    maps, masks, scores = case(levels)
    found = detection_figures(maps, masks, scores, defective(masks))
    truth, pixels = np.concatenate([m.ravel() for m in masks]), np.concatenate([m.ravel() for m in maps])
    images = np.array([m.any() for m in masks])
    for name, labels, values in (("pixel", truth, pixels), ("image", images, np.array(scores))):
        assert found[f"{name}_auroc"] == pytest.approx(roc_auc_score(labels, values))
        assert found[f"{name}_ap"] == pytest.approx(average_precision_score(labels, values))
        assert found[f"{name}_f1"] == pytest.approx(best_f1(labels, values))
    assert found.keys() == FIGURES.keys()
    assert found["mad"] == pytest.approx(fmean(float(found[name] or 0) for name in SUMMED_UP))


@pytest.mark.parametrize("levels", [0, 12])
def test_pixel_auroc_ap_and_pro_are_those_of_adeval(levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import adeval  # installed by the Makefile, without its opencv-python

    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)  # its name before numpy 2
    maps, masks, scores = case(levels)
    found = detection_figures(maps, masks, scores, defective(masks))
    auroc, ap, pro = adeval.auroc_aupr_aupro(
        np.stack(maps), np.stack(masks).astype(np.uint8), nstrips=100_000
    )
    assert found["pixel_auroc"] == pytest.approx(auroc, abs=1e-3)
    assert found["pro"] == pytest.approx(pro, abs=2e-3)
    assert found["pixel_ap"] == pytest.approx(ap, abs=0.02 if levels else 0.01), "its curve is interpolated"


@pytest.mark.parametrize("levels", [0, 12])
def test_the_thresholded_figures_are_those_of_a_loop_over_the_stretched_product(levels: int) -> None:
    """Of all images of the product together: stretched each by itself, every figure would be another."""
    maps, masks, scores = case(levels)
    found = detection_figures(maps, masks, scores, defective(masks))
    pixels, truth = np.stack(maps).astype(np.float64), np.stack(masks)
    pixels = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    f1, recall, iou = [], [], []
    for threshold in np.arange(2, 9) / 10:
        hit = ((pixels > threshold) & truth).sum()
        f1.append(2 * hit / ((pixels > threshold).sum() + truth.sum()))
        recall.append(hit / truth.sum())
        iou.append(hit / ((pixels > threshold) | truth).sum())
    assert found["mf1"] == pytest.approx(fmean(f1), abs=1e-4)
    assert (found["macc"], found["miou"]) == pytest.approx((fmean(recall), fmean(iou)), abs=1e-4)
    best = max(((pixels > t / 20) & truth).sum() / ((pixels > t / 20) | truth).sum() for t in range(21))
    assert found["iou_max"] == pytest.approx(best, abs=1e-4)
    assert float(found["pixel_f1"] or 0) >= 2 * best / (1 + best) - 1e-6, (
        "no grid of thresholds is better than all"
    )


def test_a_perfect_map_has_all_there_is() -> None:
    _, masks, _ = case(0)
    maps = [m.astype(np.float32) for m in masks]
    found = detection_figures(maps, masks, [float(d) for d in defective(masks)], defective(masks))
    assert all(value == pytest.approx(1.0, abs=1e-6) for value in found.values())


def test_without_good_images_nothing_is_said_of_images() -> None:
    maps, masks, scores = case(0)
    found = detection_figures(maps[:4], masks[:4], scores[:4], [True] * 4)
    assert {name for name, value in found.items() if value is None} == {
        "image_auroc",
        "image_ap",
        "image_f1",
        "mad",
    }
    with pytest.raises(ValueError, match="there is nothing defective"):
        detection_figures(maps[4:], masks[4:], scores[4:], [False] * 2)


def test_a_defect_that_is_too_small_for_the_map_still_makes_its_image_defective() -> None:
    maps, masks, _ = case(0)
    masks[0] = np.zeros_like(masks[0])
    found = detection_figures(maps, masks, [1, 1, 1, 1, 0, 0], [True] * 4 + [False] * 2)
    assert found["image_auroc"] == 1.0
