"""From maps to regions: what is kept, what is dropped, and how certain it is."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_runtime.frame import Frame
from adclick_runtime.regions import JOINED, MOST_PARTS, certainty, propose

FRAME = Frame(image_height=384, image_width=512, height=192, width=256)  # half the size of the image
Map = NDArray[np.float32]


def ground(probability: float = 0.02) -> Map:
    return np.full((FRAME.height, FRAME.width), probability, np.float32)


def disc(x: int, y: int, radius: int, probability: float = 0.98, on: Map | None = None) -> Map:
    """A map with a disc, in working pixels."""
    map_ = ground() if on is None else on.copy()
    cv2.circle(map_, (x, y), radius, probability, -1)
    return map_


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def true_disc(x: int, y: int, radius: int) -> NDArray[np.bool_]:
    """The same disc in image pixels."""
    rows, columns = np.indices((FRAME.image_height, FRAME.image_width))
    return np.asarray(np.hypot(columns - 2 * x, rows - 2 * y) <= 2 * radius)


def test_a_disc_becomes_one_region_in_the_image_frame() -> None:
    regions, score = propose({"scratch": disc(60, 50, 14)}, FRAME)
    (region,) = regions
    assert region.type == "scratch"
    assert region.mask.shape == (384, 512)
    assert iou(region.mask, true_disc(60, 50, 14)) > 0.9
    assert 0.6 < region.score <= 1
    assert score == pytest.approx(min(region.score, score))


def test_each_type_gets_a_region_and_each_pixel_one_type() -> None:
    maps = {"scratch": disc(60, 50, 14, 0.9), "dent": disc(70, 50, 14, 0.98), "stain": ground()}
    regions, _ = propose(maps, FRAME)
    assert {region.type for region in regions} == {"scratch", "dent"}
    a, b = (region.mask for region in regions)
    assert (a & b).sum() <= 0.02 * (a | b).sum()  # no more than the seam
    assert iou(next(r.mask for r in regions if r.type == "dent"), true_disc(70, 50, 14)) > 0.85


def test_each_place_of_a_type_is_a_region_of_its_own() -> None:
    """So that a false one can be rejected alone."""
    regions, _ = propose({"scratch": disc(200, 150, 12, 0.9, on=disc(60, 50, 14))}, FRAME)
    assert iou(regions[0].mask, true_disc(60, 50, 14)) > 0.9  # the surest first
    assert iou(regions[1].mask, true_disc(200, 150, 12)) > 0.85
    assert regions[0].score > regions[1].score
    assert len(regions) == 2


def test_a_part_is_as_sure_beside_others_as_alone() -> None:
    """Another part is not what may belong to it as well."""
    (alone,), _ = propose({"scratch": disc(60, 50, 14)}, FRAME)
    beside, _ = propose({"scratch": disc(60, 50, 14, on=disc(60, 50 + 14 + JOINED + 8, 5, 0.999))}, FRAME)
    assert max(region.score for region in beside if region.mask[100, 120]) == pytest.approx(
        alone.score, abs=0.01
    )


@pytest.mark.parametrize(("gap", "number"), [(JOINED - 4, 1), (JOINED + 6, 2)])
def test_pieces_of_one_scratch_are_one_region(gap: int, number: int) -> None:
    map_ = ground()
    map_[60:66, 40:90] = 0.98
    map_[60:66, 90 + gap : 140 + gap] = 0.98
    regions, _ = propose({"scratch": map_}, FRAME)
    assert len(regions) == number
    whole = np.logical_or.reduce([region.mask for region in regions])
    assert sum(int(region.mask.sum()) for region in regions) == whole.sum()  # no pixel twice


def test_no_more_parts_than_a_person_would_judge() -> None:
    map_ = ground()
    for number in range(20):
        map_ = disc(20 + 50 * (number % 5), 20 + 45 * (number // 5), 9, 0.6 + 0.019 * number, on=map_)
    regions, _ = propose({"pit": map_}, FRAME)
    assert len(regions) == MOST_PARTS
    scores = [region.score for region in regions]
    assert scores == sorted(scores, reverse=True)
    assert regions[0].mask[2 * 155, 2 * 220]  # the one that the map is surest of


@pytest.mark.parametrize(
    "map_",
    [
        ground(),
        disc(60, 50, 14, 0.45),
        disc(60, 50, 2, 0.9),
        cv2.line(ground(), (20, 20), (34, 20), 0.99, 1),
        np.random.default_rng(0).uniform(0.0, 0.7, (FRAME.height, FRAME.width)).astype(np.float32),
    ],
    ids=["nothing", "below the threshold", "a speck", "a short thread", "noise"],
)
def test_noise_is_not_proposed(map_: Map) -> None:
    regions, score = propose({"scratch": map_}, FRAME)
    assert regions == []
    assert 0 <= score <= 1


def test_a_long_thin_scratch_is_kept() -> None:
    map_ = cv2.line(ground(), (20, 60), (220, 90), 0.999, 3)
    (region,) = propose({"scratch": np.asarray(map_, np.float32)}, FRAME)[0]
    assert region.mask.sum() > 1200


def test_specks_beside_a_defect_go_and_its_holes_close() -> None:
    map_ = disc(150, 120, 2, 0.9, on=disc(60, 50, 20))
    map_ = disc(60, 50, 4, 0.02, on=map_)
    (region,) = propose({"scratch": map_}, FRAME)[0]
    assert iou(region.mask, true_disc(60, 50, 20)) > 0.9
    assert region.mask[100, 120]
    assert not region.mask[240, 300]


def test_a_defect_at_the_border_is_neither_thin_nor_a_hole() -> None:
    map_ = ground()
    map_[:3, 40:80] = 0.99  # what is seen of something that leaves the image
    map_[100:140, 0:4] = 0.99
    regions, _ = propose({"scratch": map_}, FRAME)
    assert any(region.mask[0, 120] for region in regions)
    assert regions[0].mask[240, 2]


def test_a_blurred_map_is_trusted_less_than_a_crisp_one() -> None:
    crisp, soft = disc(60, 50, 14), cv2.GaussianBlur(disc(60, 50, 14), (0, 0), 8)
    scores = [propose({"scratch": map_}, FRAME)[0][0].score for map_ in (crisp, np.asarray(soft, np.float32))]
    assert scores[0] > scores[1] + 0.15


def test_the_score_sorts_by_uncertainty() -> None:
    """Clean and obvious at the top, the doubtful below, the toss-up at the bottom."""
    clean = propose({"scratch": ground(0.01)}, FRAME)[1]
    obvious = propose({"scratch": disc(60, 50, 20, 0.999)}, FRAME)[1]
    doubtful = propose({"scratch": disc(60, 50, 20, 0.7)}, FRAME)[1]
    toss_up = propose({"scratch": disc(60, 50, 20, 0.49)}, FRAME)[1]
    assert min(clean, obvious) > doubtful + 0.2 > toss_up + 0.4
    assert toss_up < 0.1


@pytest.mark.parametrize(
    ("probability", "scores", "expected"),
    [
        (0.0, [], 1.0),
        (0.5, [], 0.0),
        (0.9, [], 0.0),
        (0.5, [0.9], 0.0),
        (0.9, [0.9, 0.6], 0.6),
        (1.0, [0.8], 0.8),
    ],
)
def test_certainty_is_what_its_formula_says(probability: float, scores: list[float], expected: float) -> None:
    assert certainty(probability, scores) == pytest.approx(expected)


def test_no_types_at_all_propose_nothing() -> None:
    assert propose({}, FRAME) == ([], 0.0)


def test_a_large_image_takes_a_moment_only() -> None:
    frame = Frame(3000, 4000, 384, 512)
    map_ = cv2.resize(disc(60, 50, 14), (512, 384))
    started = time.perf_counter()
    regions, _ = propose({"a": map_, "b": map_[::-1].copy()}, frame)
    assert time.perf_counter() - started < 2
    assert regions[0].mask.shape == (3000, 4000)
