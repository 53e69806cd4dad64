"""Clicks with a label that asks for all that is alike, as Label Studio sends them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from werkzeug.test import TestResponse

from adclick_backend.config.all_alike import with_all_alike
from tests.helpers.backend import CONFIG, Backend, mask_of, point, square, task

BLOBS = [(12, 12, 250), (40, 12, 250), (12, 36, 250), (40, 36, 200)]
ALIKE = with_all_alike(with_all_alike(CONFIG, "all")[0], "each")[0]


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    backend = Backend(tmp_path)
    yield backend
    backend.close()


def regions_of(answer: TestResponse) -> list[dict[str, Any]]:
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json["results"][0]["result"]  # type: ignore[index]
    return found


def test_all_that_is_alike_is_one_region_of_the_label_itself(backend: Backend) -> None:
    image = backend.draw("a.png", BLOBS)
    (region,) = regions_of(backend.click(task(image), [point(12, 12, "scratch (all)")], config=ALIKE))
    assert region["value"]["brushlabels"] == ["scratch"]
    assert np.array_equal(mask_of(region), square(12, 12) | square(40, 12) | square(12, 36))


def test_each_part_is_a_region_and_those_that_stay_keep_their_ids(backend: Backend) -> None:
    image = backend.draw("a.png", BLOBS)
    first = [point(12, 12, "dent (each)")]
    before = regions_of(backend.click(task(image), first, config=ALIKE))
    again = [*first, point(40, 12, "dent (each)", "kp2", positive=False)]
    after = regions_of(backend.click(task(image), again, config=ALIKE))
    assert {region["value"]["brushlabels"][0] for region in (*before, *after)} == {"dent"}
    assert len({region["id"] for region in before}) == 3
    assert [mask_of(region).sum() for region in before] == [64, 64, 64]
    gone = {region["id"] for region in before} - {region["id"] for region in after}
    (lost,) = [region for region in before if region["id"] in gone]
    assert np.array_equal(mask_of(lost), square(40, 12))
    assert {region["id"] for region in after} < {region["id"] for region in before}
    assert after[0]["id"] == before[0]["id"]


def test_a_further_click_anywhere_is_about_the_same_object(backend: Backend) -> None:
    """With auto-accept every click comes alone; what is alike lies anywhere in the image."""
    image = backend.draw("a.png", BLOBS)
    (first,) = regions_of(backend.click(task(image), [point(12, 12, "scratch (all)")], config=ALIKE))
    other = [point(40, 36, "scratch (all)", "another")]
    (second,) = regions_of(backend.click(task(image), other, config=ALIKE))
    assert second["id"] == first["id"]
    assert np.array_equal(mask_of(second), square(12, 12) | square(40, 12) | square(12, 36) | square(40, 36))


def test_answers_are_kept_for_training_region_by_region(backend: Backend) -> None:
    image = backend.draw("a.png", BLOBS)
    regions = regions_of(backend.click(task(image), [point(12, 12, "scratch (each)")], config=ALIKE))
    backend.services.answers.flush()
    kept = backend.services.store.answers.of_task("1", 1)
    assert kept.keys() == {region["id"] for region in regions}
    assert {answer.label for answer in kept.values()} == {"scratch"}
    for region in regions:
        answer = kept[region["id"]]
        assert np.array_equal(answer.mask(), mask_of(region))
        assert answer.probability()[~mask_of(region)].max() < 0.5
        assert len(answer.clicks) == (region["id"] == regions[0]["id"])


def test_a_label_of_that_very_name_is_an_ordinary_one(backend: Backend) -> None:
    config = CONFIG.replace('value="dent"', 'value="dent (all)"')
    image = backend.draw("a.png", BLOBS)
    (region,) = regions_of(backend.click(task(image), [point(12, 12, "dent (all)")], config=config))
    assert region["value"]["brushlabels"] == ["dent (all)"]
    assert [len(clicks) for _, _, clicks in backend.engine.clicked] == [1]
    assert backend.engine.click_weights == [None]  # asked for one mask


def test_nothing_alike_is_an_empty_prediction_and_no_error(backend: Backend) -> None:
    image = backend.draw("a.png", BLOBS)
    only_not_this = [point(12, 12, "scratch (all)", positive=False)]
    answer = backend.click(task(image), only_not_this, config=ALIKE)
    assert (answer.status_code, regions_of(answer)) == (200, [])
