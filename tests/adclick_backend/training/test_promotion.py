"""A new version against the one that serves: same images, and it serves only when it is not worse."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from adclick_backend.training.comparison_pictures import SIDE, draw_pictures
from adclick_backend.training.holdout import FEWEST_LABELLED, split
from adclick_backend.training.promotion import Look, compare, is_better, truth_of
from model.labels.labelled import LabelledImage
from tests.helpers.labelled import disc, labelled, normal

Map = NDArray[np.float32]


def sees(quality: float, alarm: float = 0.0) -> Look:
    """A version that finds the `quality` share of each defect's rows, and marks an `alarm` share of a normal image."""

    def look(image: LabelledImage) -> Mapping[str, Map]:
        height, width = image.load().shape[:2]
        found = np.zeros((height, width), np.float32)
        if not image.labels:
            found[: round(alarm * height)] = 0.9
            return {"scratch": found}
        mask = truth_of(image, (height, width))
        rows = np.flatnonzero(mask.any(axis=1))
        kept = rows[: round(quality * len(rows))]
        found[kept] = mask[kept] * 0.9
        return {"scratch": found, "dent": np.zeros_like(found)}

    return look


IMAGES = [labelled(n) for n in range(10)] + [normal(n) for n in range(5)]


def test_a_better_version_serves_and_the_reason_has_the_figures() -> None:
    verdict = compare(sees(0.9), sees(0.6), split(IMAGES))
    assert verdict.promoted
    assert verdict.candidate["iou"] > verdict.serving["iou"]
    assert "not worse than the version before" in verdict.reason


@pytest.mark.parametrize(("candidate", "better"), [(sees(0.9), True), (sees(0.6), False), (sees(0.4), False)])
def test_better_is_more_than_not_worse(candidate: Look, better: bool) -> None:
    verdict = compare(candidate, sees(0.6), split(IMAGES))
    assert is_better("iou", verdict.images) is better
    assert not is_better("false_area", verdict.images)


@pytest.mark.parametrize(
    ("candidate", "named"),
    [(sees(0.4), "overlap (IoU)"), (sees(0.8, alarm=0.2), "the area that it marks in normal images")],
)
def test_a_worse_version_is_not_promoted(candidate: Look, named: str) -> None:
    """Reliability row 20: a candidate with a worse score is never promoted."""
    verdict = compare(candidate, sees(0.8), split(IMAGES))
    assert not verdict.promoted
    assert verdict.reason.startswith("It was not promoted, for it is worse")
    assert named in verdict.reason


def test_maps_that_are_not_numbers_are_never_promoted() -> None:
    """Reliability row 20: NaN."""

    def look(image: LabelledImage) -> Mapping[str, Map]:
        return {"scratch": np.full((48, 64), math.nan, np.float32)}

    for serving in (None, sees(0.1)):
        verdict = compare(look, serving, split(IMAGES))
        assert not verdict.promoted
        assert "not numbers" in verdict.reason
        assert json.loads(json.dumps(verdict.as_json(), allow_nan=False))["candidate"]["iou"] is None


def test_the_first_version_serves() -> None:
    verdict = compare(sees(0.5), None, split(IMAGES))
    assert verdict.promoted and "no version served before" in verdict.reason


def uneven(image: LabelledImage) -> Mapping[str, Map]:
    """A version that finds some defects completely and half of the others."""
    return sees(1.0 if int(image.name[-1]) % 2 else 0.5)(image)


def test_with_few_images_chance_decides_less() -> None:
    even = [image for image in IMAGES if image.labels][:4]
    verdict = compare(uneven, sees(0.7), split(even))
    loss = verdict.serving["iou"] - verdict.candidate["iou"]
    assert 0.01 < loss < 0.03 and verdict.promoted


def test_a_large_loss_counts_however_few_the_images() -> None:
    even = [image for image in IMAGES if image.labels][:4]
    assert not compare(uneven, sees(0.8), split(even)).promoted


def test_boxes_are_no_truth_to_judge_by() -> None:
    image = labelled(1, kind="box")
    assert not truth_of(image, (48, 64)).any()
    assert split([image, *IMAGES]).labelled and image not in split([image, *IMAGES]).labelled


def test_the_images_where_versions_differ_most_come_first_and_are_drawn(tmp_path: Path) -> None:
    chosen = split(IMAGES)
    candidate, serving = sees(0.9), sees(0.3)
    verdict = compare(candidate, serving, chosen)
    differences = [one.difference for one in verdict.images]
    assert differences == sorted(differences, reverse=True) and differences[0] > 0
    drawn = draw_pictures(tmp_path / "pictures", verdict.images, candidate, serving)
    files = sorted((tmp_path / "pictures").iterdir())
    assert drawn == [one.image.name for one in verdict.images[: len(files)]]
    picture = cv2.imread(str(files[0]))
    assert picture is not None and picture.shape[1] == 4 * (SIDE + 4)
    assert len({tuple(colour) for colour in picture.reshape(-1, 3)}) > 5  # outlines of several colours


# --- which images are held out


def test_a_fifth_of_every_type_and_of_the_normal_images_is_held_out() -> None:
    images = [labelled(n, "scratch") for n in range(20)] + [labelled(n, "dent") for n in range(20, 30)]
    images += [normal(n) for n in range(10)]
    chosen = split(images)
    assert sorted(next(iter(image.labels)) for image in chosen.labelled) == ["dent"] * 2 + ["scratch"] * 4
    assert len(chosen.normal) == 2
    held = {image.name for image in (*chosen.labelled, *chosen.normal)}
    assert held.isdisjoint(image.name for image in chosen.training)
    assert len(held) + len(chosen.training) == len(images)
    assert chosen.held_out


def test_the_same_images_are_held_out_in_any_order() -> None:
    """Reliability row 25."""
    again = split(IMAGES[::-1])
    assert {i.name for i in again.labelled} == {i.name for i in split(IMAGES).labelled}


def test_what_the_serving_version_was_not_trained_on_judges_first() -> None:
    first = split(IMAGES)
    seen = {image.name for image in first.training}
    more = [*IMAGES, *(labelled(n) for n in range(20, 22))]
    assert {i.name for i in split(more, seen).labelled}.isdisjoint(seen)


@pytest.mark.parametrize("count", range(FEWEST_LABELLED))
def test_few_labelled_images_are_all_trained_on(count: int) -> None:
    images = [labelled(n) for n in range(count)]
    chosen = split(images)
    assert not chosen.held_out
    assert [image.name for image in chosen.training] == [image.name for image in images]
    assert len(chosen.labelled) == count


def test_many_types_with_one_image_each_still_hold_one_out() -> None:
    chosen = split([labelled(n, f"type {n}") for n in range(6)])
    assert chosen.held_out and len(chosen.labelled) == 1


def test_a_disc_is_its_own_truth() -> None:
    assert truth_of(labelled(3), (48, 64)).sum() == disc(3).sum()
