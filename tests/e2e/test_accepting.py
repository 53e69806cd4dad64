"""Several defects, several clicks: what is stored when masks are accepted by hand, and when by Label Studio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from tests.e2e.project import Project, decode

if TYPE_CHECKING:
    from tests.e2e.browser import LabelStudioWindow

pytestmark = pytest.mark.e2e

LABEL = "stain"
# x, y as fractions of the image; the third is unremarkable cloth as near as the second
FIRST, NEAR, PLAIN, FAR = (0.30, 0.30), (0.44, 0.32), (0.20, 0.50), (0.75, 0.72)
SIZE = 512


class Cloth(NamedTuple):
    """A cloth with two defects: the picture, and the true pixels of a dark spot and of a red one."""

    task: int
    first: NDArray[np.bool_]
    second: NDArray[np.bool_]


class Cloths(NamedTuple):
    project: Project
    far: Cloth
    near: Cloth
    clicked_once: Cloth
    auto_accepted: Cloth


@pytest.fixture(scope="module")
def cloths(person: requests.Session, label_studio: str, backend: str) -> Cloths:
    """A connected project of four cloths, the defects of all but the first near each other."""
    from draw_samples import draw

    project = Project.create(person, label_studio, "Cloths", [LABEL, "tear"])
    images, spots = [], []
    for seed, place in enumerate((FAR, NEAR, NEAR, NEAR)):
        image, first = dye(draw("cloth", seed=seed, size=SIZE).image, FIRST, (22, 16), (45, 45, 45))
        image, second = dye(image, place, (13, 20), (225, 60, 50))
        images.append(image)
        spots.append((first, second))
    tasks = project.upload(images)
    project.connect(backend)
    return Cloths(project, *(Cloth(task, *both) for task, both in zip(tasks, spots, strict=True)))


def dye(
    image: NDArray[np.uint8], place: tuple[float, float], radii: tuple[int, int], colour: tuple[int, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """An image with an oval spot, and the spot's pixels."""
    spot = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(spot, (round(place[0] * SIZE), round(place[1] * SIZE)), radii, 20, 0, 360, 255, -1)
    ink = cv2.GaussianBlur(spot, (0, 0), 1.0).astype(np.float32)[..., None] / 255
    return (image * (1 - ink) + ink * np.array(colour)).astype(np.uint8), spot > 0


@pytest.mark.parametrize("where", ["far", "near"])
def test_a_second_defect_leaves_the_accepted_one_alone(
    cloths: Cloths, window: LabelStudioWindow, where: str
) -> None:
    cloth: Cloth = getattr(cloths, where)
    place = FAR if where == "far" else NEAR
    window.open_task(cloths.project.id, cloth.task)
    window.take_smart_keypoint(LABEL)
    window.click(LABEL, *FIRST)
    window.page.wait_for_timeout(1500)  # to look at the mask; it may hold the other defect too
    accepted = only_region(window.click(LABEL, *place, alt=True))
    window.accept_suggestion()
    added = only_region(window.click(LABEL, *place))
    assert [point["is_positive"] for point in window.clicked] == [True]  # the key points before are gone
    assert added["id"] != accepted["id"]
    window.accept_suggestion()
    window.submit()

    stored = {region["id"]: region for region in cloths.project.annotation(cloth.task)}
    assert {number: region["type"] for number, region in stored.items()} == {
        accepted["id"]: "brushlabels",
        added["id"]: "brushlabels",
    }
    first, second = decode(stored[accepted["id"]]), decode(stored[added["id"]])
    assert np.array_equal(first, decode(accepted))
    assert np.array_equal(second, decode(added))
    assert share(cloth.first, first) > 0.8
    assert share(cloth.second, first) < 0.2
    assert share(cloth.second, second) > 0.8
    assert window.errors == []


def test_a_mask_accepted_after_its_only_click_goes_on_with_the_next_click_near_it(
    cloths: Cloths, window: LabelStudioWindow
) -> None:
    """The backend cannot tell this from auto-accept; Label Studio replaces the region, and nothing is lost."""
    cloth = cloths.clicked_once
    window.open_task(cloths.project.id, cloth.task)
    window.take_smart_keypoint(LABEL)
    accepted = only_region(window.click(LABEL, *FIRST))
    window.accept_suggestion()
    grown = only_region(window.click(LABEL, *PLAIN, on_region=True))
    assert grown["id"] == accepted["id"]
    window.accept_suggestion()
    window.submit()

    (region,) = cloths.project.annotation(cloth.task)
    assert (region["id"], region["type"]) == (accepted["id"], "brushlabels")
    mask = decode(region)
    assert np.array_equal(mask, decode(grown))
    assert share(cloth.first, mask) > 0.8
    assert mask[int(PLAIN[1] * SIZE), int(PLAIN[0] * SIZE)]
    assert window.errors == []


def test_auto_accepted_clicks_on_one_defect_are_one_region(
    cloths: Cloths, window: LabelStudioWindow, backend: str
) -> None:
    cloth, (x, y) = cloths.auto_accepted, FIRST
    window.open_task(cloths.project.id, cloth.task)
    window.take_smart_keypoint(LABEL, auto_accept=True)
    answers, points = [], []
    for place, alt in (((x - 0.02, y), False), ((x + 0.03, y), False), (NEAR, True)):
        answers.append(only_region(window.click(LABEL, *place, alt=alt, on_region=bool(points))))
        (point,) = window.clicked  # those before were deleted with their answer
        points.append(point)
    window.submit()

    assert len({region["id"] for region in answers}) == 1
    (region,) = cloths.project.annotation(cloth.task)
    assert (region["id"], region["type"]) == (answers[0]["id"], "brushlabels")
    mask = decode(region)
    assert np.array_equal(mask, decode(answers[-1]))
    assert np.array_equal(mask, asked_at_once(backend, cloths.project, cloth.task, points))
    assert share(cloth.first, mask) > 0.8
    assert share(cloth.second, mask) < 0.2
    assert window.errors == []


def only_region(answer: dict[str, Any]) -> dict[str, Any]:
    region: dict[str, Any]
    (region,) = answer["data"]["result"]
    return region


def share(part: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """How much of a part a mask holds."""
    return float((part & mask).sum() / part.sum())


def asked_at_once(
    backend: str, project: Project, task: int, points: list[dict[str, Any]]
) -> NDArray[np.bool_]:
    """The mask that answers key points in a single request about a task's image."""
    body = {
        "tasks": [{"data": project.data(task)}],  # without its number it is a task that nobody clicked
        "project": str(project.id),
        "params": {"context": {"result": points}},
    }
    answer = requests.post(f"{backend}/predict", json=body, timeout=180)
    (region,) = answer.json()["results"][0]["result"]
    return decode(region)
