"""Every metric against an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.measure import label
from sklearn.metrics import average_precision_score, jaccard_score, roc_auc_score

from model.metrics import masks, ranking, thresholded

Case = tuple[list[NDArray[np.float32]], list[NDArray[np.bool_]]]


def case(skew: float = 1.0, levels: int = 0, size: tuple[int, int] = (48, 64)) -> Case:
    """Three images with regions of many sizes, two of them touching at a corner only, and one good image."""
    rng = np.random.default_rng(3)
    masks = []
    for n in range(4):
        mask = np.zeros(size, bool)
        for _ in range(4 * (n < 3)):
            y, x = rng.integers(0, size[0] - 6), rng.integers(0, size[1] - 6)
            mask[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = True
        masks.append(mask)
    masks[0][40:43, 50:53] = masks[0][43:46, 53:56] = True
    maps = []
    for mask in masks:
        scores = np.clip(rng.normal(0.35 + 0.3 * mask, 0.12), 0, 1) ** skew
        maps.append((np.round(scores * levels) / levels if levels else scores).astype(np.float32))
    return maps, masks


def pooled(arrays: list[NDArray[np.float32]] | list[NDArray[np.bool_]]) -> NDArray[np.float64]:
    return np.concatenate([a.ravel() for a in arrays])  # type: ignore[return-value]


def slow_pro(maps: list[NDArray[np.float32]], masks: list[NDArray[np.bool_]], limit: float) -> float:
    """PRO by its definition: at every threshold, the mean overlap of scikit-image's regions."""
    regions = [label(mask, connectivity=2) for mask in masks]
    points = [(0.0, 0.0)]
    for threshold in np.unique(pooled(maps))[::-1]:
        found = [m >= threshold for m in maps]
        overlaps = [
            f[r == i].mean() for f, r in zip(found, regions, strict=True) for i in range(1, r.max() + 1)
        ]
        false = sum((f & ~m).sum() for f, m in zip(found, masks, strict=True))
        points.append((false / sum((~m).sum() for m in masks), float(np.mean(overlaps))))
    grid = np.linspace(0, limit, 200_001)
    x, y = np.array(points).T
    return float(np.interp(grid, x, y).mean())


@pytest.mark.parametrize(("skew", "levels"), [(1, 0), (1, 20), (12, 0), (40, 0)])
def test_pixel_ap_and_auroc_are_those_of_scikit_learn(skew: float, levels: int) -> None:
    maps, masks = case(skew, levels)
    truth, scores = pooled(masks), pooled(maps)
    assert ranking.pixel_average_precision(maps, masks) == pytest.approx(
        average_precision_score(truth, scores)
    )
    assert ranking.pixel_auroc(maps, masks) == pytest.approx(roc_auc_score(truth, scores))


def test_skewed_scores_lose_nothing_where_a_histogram_does() -> None:
    """Most scores near 0, as behind a sharp sigmoid: AP, AUROC and PRO are those of the same scores unskewed."""
    even, masks = case()
    skewed = [(m.astype(np.float64) ** 10).astype(np.float32) for m in even]
    plain, sharp = ranking.rank_pixels(even, masks), ranking.rank_pixels(skewed, masks)
    assert sharp.average_precision == pytest.approx(plain.average_precision, abs=1e-6)
    assert sharp.auroc == pytest.approx(plain.auroc, abs=1e-6)
    assert sharp.per_region_overlap() == pytest.approx(plain.per_region_overlap(), abs=1e-6)
    binned = [np.floor(m * 50) / 50 for m in skewed]  # what a histogram of 50 bins knows
    assert ranking.pixel_average_precision(binned, masks) < plain.average_precision - 0.05


@pytest.mark.parametrize("limit", [0.3, 0.05, 1.0])
@pytest.mark.parametrize("levels", [0, 20])
def test_pro_is_the_mean_overlap_of_regions_by_definition(limit: float, levels: int) -> None:
    maps, masks = case(levels=levels, size=(64, 60) if levels else (24, 32))
    assert ranking.per_region_overlap(maps, masks, limit) == pytest.approx(
        slow_pro(maps, masks, limit), abs=2e-5
    )


def test_auroc_and_pro_agree_with_adeval(monkeypatch: pytest.MonkeyPatch) -> None:
    import adeval  # installed by the Makefile, without its opencv-python

    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)  # its name before numpy 2
    maps, masks = case()
    auroc, _, pro = adeval.auroc_aupr_aupro(np.stack(maps), np.stack(masks).astype(np.uint8), nstrips=100_000)
    found = ranking.rank_pixels(maps, masks)
    assert found.auroc == pytest.approx(auroc, abs=1e-3)
    assert found.per_region_overlap() == pytest.approx(pro, abs=2e-3)


def test_pixels_touching_at_a_corner_are_one_region_of_pro() -> None:
    mask = np.eye(4, dtype=bool)
    mask[0, 3] = True  # a second region
    scores = np.where(np.eye(4, dtype=bool), 1.0, 0.0).astype(np.float32)
    assert ranking.rank_pixels([scores], [mask]).overlap[0] == pytest.approx(0.5)


def test_image_auroc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(60) < 0.4
    scores = np.round(rng.normal(truth, 1.0), 1)
    assert ranking.image_auroc(scores.tolist(), truth.tolist()) == pytest.approx(roc_auc_score(truth, scores))


def test_iou_is_that_of_scikit_learn_and_empty_masks_agree() -> None:
    a, b = case()[1][:2]
    assert masks.iou(a, b) == pytest.approx(jaccard_score(a.ravel(), b.ravel()))
    assert masks.iou(a & ~a, b & ~b) == 1.0
    assert masks.iou(a, a & ~a) == 0.0


def test_noc_is_the_first_click_that_gets_there() -> None:
    assert masks.clicks_to([0.2, 0.85, 0.7, 0.91], 0.8) == 2
    assert masks.clicks_to([0.2, 0.85], 0.9) == 20
    assert masks.clicks_to([0.0] * 20 + [1.0], 0.9) == 20


@pytest.mark.parametrize("normalise", [True, False])
def test_the_thresholded_means_are_those_of_a_loop_over_scikit_learn(normalise: bool) -> None:
    maps, masks = case()
    maps = [0.2 + 0.6 * m for m in maps]
    truth, scores = pooled(masks), pooled(maps)
    if normalise:
        scores = (scores - scores.min()) / (scores.max() - scores.min())
    rows = []
    for t in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        found = scores > t
        hit = (found & truth.astype(bool)).sum()
        p, r = hit / max(1, found.sum()), hit / truth.sum()
        rows.append((2 * p * r / (p + r + 1e-8), r, jaccard_score(truth, found)))
    got = thresholded.thresholded(maps, masks, normalise)
    assert (got.f1, got.recall, got.iou) == pytest.approx(np.mean(rows, axis=0))
    best = max(jaccard_score(truth, scores > t / 20) for t in range(21))
    assert thresholded.iou_max(maps, masks, normalise) == pytest.approx(best)


def test_one_extreme_pixel_moves_the_stretched_scores_and_not_the_calibrated_ones() -> None:
    maps, masks = case()
    outlier = [m.copy() for m in maps]
    outlier[3][0, 0] = 10.0
    assert thresholded.thresholded(outlier, masks).recall < 0.01 < thresholded.thresholded(maps, masks).recall
    assert thresholded.thresholded(outlier, masks, normalise=False).recall == pytest.approx(
        thresholded.thresholded(maps, masks, normalise=False).recall
    )


def test_what_cannot_be_measured_is_said_in_words() -> None:
    maps, masks = case()
    with pytest.raises(ValueError, match="there is nothing defective"):
        ranking.pixel_auroc(maps[3:], masks[3:])
    with pytest.raises(ValueError, match="only defective"):
        ranking.image_auroc([0.1, 0.2], [True, True])
    with pytest.raises(ValueError, match="NaN or infinite"):
        ranking.pixel_average_precision([maps[0] * np.float32(np.nan)], masks[:1])
    with pytest.raises(ValueError, match="they must be equal"):
        ranking.pixel_average_precision([maps[0][1:]], masks[:1])
    with pytest.raises(ValueError, match="all masks are empty"):
        thresholded.iou_max(maps[3:], masks[3:])
    with pytest.raises(ValueError, match="Every map needs its mask"):
        thresholded.thresholded(maps, masks[:1])
