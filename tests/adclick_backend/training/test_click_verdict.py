"""Whether an adapted click network may answer, and by which images that is judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from adclick_backend.training.click_verdict import Mask, Press, judge_clicks
from adclick_backend.training.holdout import FEWEST_CLICKED, MOST_CLICKED, split, split_for_clicks
from adclick_backend.training.promotion import truth_of
from model.clicks import Click
from model.labels.labelled import LabelledImage
from tests.helpers.labelled import labelled, normal


def press(*shares: float) -> Press:
    """Marks the share of a defect's rows that is named for each number of clicks, the last for all further ones."""

    def answer(image: LabelledImage, clicks: Sequence[Click]) -> Mask:
        pixels = image.load()
        truth = truth_of(image, (pixels.shape[0], pixels.shape[1]))
        rows = np.flatnonzero(truth.any(axis=1))
        kept = np.zeros_like(truth)
        kept[rows[: round(shares[min(len(clicks), len(shares)) - 1] * len(rows))]] = True
        return truth & kept

    return answer


IMAGES = [labelled(i) for i in range(4)]


@pytest.mark.parametrize(
    ("candidate", "adopted"),
    [
        ((0.8, 0.9), True),
        ((0.5, 0.7), False),  # no better than now
        ((0.3, 0.6), False),
        ((0.8, 0.8, 0.8, 0.8, 0.5), False),  # the first click much better, the fifth much worse
    ],
)
def test_only_a_network_that_is_better_and_never_much_worse_is_adopted(
    candidate: tuple[float, ...], adopted: bool
) -> None:
    verdict = judge_clicks(press(*candidate), press(0.5, 0.7), IMAGES, "the network of v2")
    assert verdict.adopted is adopted
    assert set(verdict.candidate) == {"click_1", "click_3", "click_5"}
    assert verdict.serving["click_1"] < verdict.serving["click_3"] == verdict.serving["click_5"]
    assert ("go on being answered by the network of v2" in verdict.reason) is not adopted
    assert "on 4 images that it was not shown" in verdict.reason
    assert len(verdict.as_json()["images"][0]["candidate"]) == 5


def test_the_image_where_the_first_masks_differ_most_comes_first() -> None:
    better = press(0.9)

    def only_the_third(image: LabelledImage, clicks: Sequence[Click]) -> Mask:
        return (better if image is IMAGES[2] else press(0.5))(image, clicks)

    verdict = judge_clicks(only_the_third, press(0.5), IMAGES, "another")
    assert verdict.images[0].image is IMAGES[2]
    before, after = verdict.images[0].first
    assert after.sum() > before.sum()


def test_clicks_are_judged_by_images_that_they_did_not_learn_from() -> None:
    images = [*map(labelled, range(20)), *map(normal, range(20, 25))]
    chosen = split(images)
    training, judged = split_for_clicks(chosen)
    assert judged == chosen.labelled[:MOST_CLICKED]
    assert training == chosen.training


def test_with_few_labels_some_are_kept_from_the_clicks_alone() -> None:
    chosen = split([labelled(i) for i in range(6)])
    training, judged = split_for_clicks(chosen)
    assert len(judged) == FEWEST_CLICKED and len(training) == 3
    assert not {i.name for i in training} & {i.name for i in judged}
    assert (
        split_for_clicks(split([labelled(i) for i in range(3)]))[0] == []
    )  # drawn defects alone are learned from
    seen = {image.name for image in judged}
    assert not seen & {
        image.name for image in split_for_clicks(split([labelled(i) for i in range(4)]), seen)[1][:1]
    }


def test_boxes_are_no_masks_to_judge_clicks_by() -> None:
    chosen = split([labelled(0), labelled(1), labelled(2, kind="box")])
    training, judged = split_for_clicks(chosen)
    assert judged == [] and training == chosen.training
