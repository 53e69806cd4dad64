"""One click, all alike: several regions in one answer, accepted by hand and by Label Studio, and a second click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from adclick_backend.config.all_alike import with_all_alike
from adclick_backend.config.labeling_config import recommended_config
from tests.e2e.project import Project, decode

if TYPE_CHECKING:
    from tests.e2e.browser import LabelStudioWindow

pytestmark = pytest.mark.e2e

SIZE = 512
PLACES = ((0.25, 0.25), (0.6, 0.2), (0.8, 0.45), (0.2, 0.7), (0.5, 0.55), (0.75, 0.8))
"""Of the spots, x and y as fractions of the image."""


class Spotted(NamedTuple):
    project: Project
    tasks: list[int]
    spots: list[NDArray[np.bool_]]


@pytest.fixture(scope="module")
def spotted(person: requests.Session, label_studio: str, backend: str) -> Spotted:
    """A connected project of cloths with equal spots, and both labels that ask for all that is alike."""
    from draw_samples import draw

    images, spots = [], []
    for seed in range(4):
        image = draw("cloth", seed=seed, size=SIZE).image.astype(np.float32)
        spots = []
        for x, y in PLACES:
            spot = np.zeros((SIZE, SIZE), np.uint8)
            cv2.circle(spot, (round(x * SIZE), round(y * SIZE)), 13, 255, -1)
            ink = cv2.GaussianBlur(spot, (0, 0), 1.0).astype(np.float32)[..., None] / 255
            image = image * (1 - ink) + ink * np.array((45, 45, 45))
            spots.append(spot > 0)
        images.append(image.astype(np.uint8))
    config = recommended_config(["stain", "tear"])
    for regions in ("all", "each"):
        config, changes = with_all_alike(config, regions)
        assert changes
    project = Project.with_config(person, label_studio, "Spotted cloths", config)
    tasks = project.upload(images)
    project.connect(backend)
    return Spotted(project, tasks, spots)


def test_all_alike_are_one_region(spotted: Spotted, window: LabelStudioWindow) -> None:
    task = spotted.tasks[0]
    window.open_task(spotted.project.id, task)
    window.take_smart_keypoint("stain (all)")
    (region,) = window.click("stain (all)", *PLACES[0])["data"]["result"]
    window.accept_suggestion()
    window.submit()
    (stored,) = [r for r in spotted.project.annotation(task) if r["type"] == "brushlabels"]
    assert stored["id"] == region["id"]
    assert stored["value"]["brushlabels"] == ["stain"]
    assert [share(spot, decode(stored)) > 0.7 for spot in spotted.spots].count(True) >= 5
    assert window.errors == []


def test_each_part_is_a_region_and_a_second_click_takes_one_away(
    spotted: Spotted, window: LabelStudioWindow
) -> None:
    task = spotted.tasks[1]
    window.open_task(spotted.project.id, task)
    window.take_smart_keypoint("stain (each)")
    first = window.click("stain (each)", *PLACES[0])["data"]["result"]
    assert len(found_spots(first, spotted)) >= 5
    unwanted = max(found_spots(first, spotted))
    second = window.click("stain (each)", *PLACES[unwanted], alt=True)["data"]["result"]
    assert found_spots(second, spotted) == [n for n in found_spots(first, spotted) if n != unwanted]
    assert second[0]["id"] == first[0]["id"]
    window.accept_suggestion()
    window.submit()
    stored = [r for r in spotted.project.annotation(task) if r["type"] == "brushlabels"]
    assert {r["id"] for r in stored} == {r["id"] for r in second}
    assert {label for r in stored for label in r["value"]["brushlabels"]} == {"stain"}
    assert window.errors == []


def test_with_auto_accept_the_region_of_all_is_replaced(spotted: Spotted, window: LabelStudioWindow) -> None:
    task = spotted.tasks[2]
    window.open_task(spotted.project.id, task)
    window.take_smart_keypoint("stain (all)", auto_accept=True)
    first = window.click("stain (all)", *PLACES[0])["data"]["result"]
    unwanted = max(found_spots(first, spotted))
    second = window.click("stain (all)", *PLACES[unwanted], alt=True, on_region=True)["data"]["result"]
    window.submit()
    (stored,) = [r for r in spotted.project.annotation(task) if r["type"] == "brushlabels"]
    assert [r["id"] for r in (*first, *second)] == [stored["id"]] * 2
    assert np.array_equal(decode(stored), decode(second[0]))
    assert found_spots([stored], spotted) == [n for n in found_spots(first, spotted) if n != unwanted]
    assert window.errors == []


def test_with_auto_accept_a_part_that_a_second_click_refuses_is_for_the_person_to_delete(
    spotted: Spotted, window: LabelStudioWindow
) -> None:
    """Label Studio takes over what an answer holds, and never takes away what an answer does not hold any more."""
    task = spotted.tasks[3]
    window.open_task(spotted.project.id, task)
    window.take_smart_keypoint("stain (each)", auto_accept=True)
    first = window.click("stain (each)", *PLACES[0])["data"]["result"]
    unwanted = max(found_spots(first, spotted))
    second = window.click("stain (each)", *PLACES[unwanted], alt=True, on_region=True)["data"]["result"]
    window.submit()
    stored = [r for r in spotted.project.annotation(task) if r["type"] == "brushlabels"]
    assert {r["id"] for r in stored} == {r["id"] for r in first} > {r["id"] for r in second}
    assert window.errors == []


def found_spots(regions: list[dict[str, Any]], spotted: Spotted) -> list[int]:
    """Which spots some regions cover, by number."""
    mask = np.logical_or.reduce([decode(region) for region in regions])
    return [number for number, spot in enumerate(spotted.spots) if share(spot, mask) > 0.7]


def share(part: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """How much of a part a mask holds."""
    return float((part & mask).sum() / part.sum())
