"""On a laptop: labels above the image without scrolling, and proposed masks that clicks correct."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from adclick_backend.brush.regions import brush_region
from adclick_backend.config.labeling_config import parse_labeling_config, recommended_config
from adclick_backend.labels.proposed import PREFIX
from tests.e2e import editor
from tests.e2e.project import Project, decode
from tests.e2e.simulated_person import overlap, wait_for_references, where_to_click

if TYPE_CHECKING:
    from draw_samples import Sample
    from playwright.sync_api import Page

    from tests.e2e.browser import LabelStudioWindow

pytestmark = pytest.mark.e2e

PRODUCT, LABEL, SIZE, NORMAL, DEFECTIVE = "flange", "stain", 512, 6, 3
LAPTOP = {"width": 1366, "height": 768}

LABELS_IN_WINDOW = """() => [...document.querySelectorAll(".lsf-label, .lsf-choice")].map(one => {
    const {top, bottom} = one.getBoundingClientRect();
    return [one.innerText.replace("\\n", " "), top >= 0 && bottom <= innerHeight - 50];
})"""


@dataclass(frozen=True)
class Lot:
    """A project with references, and tasks with one stain each that nobody has opened yet."""

    project: Project
    stains: list[tuple[int, Sample]]


@pytest.fixture(scope="module")
def lot(person: requests.Session, label_studio: str, backend: str) -> Lot:
    from draw_samples import draw

    project = Project.create(person, label_studio, "Corrected flanges", [LABEL])
    good = [draw(PRODUCT, seed=seed, size=SIZE).image for seed in range(NORMAL)]
    stains = [draw(PRODUCT, LABEL, seed=seed, size=SIZE) for seed in range(DEFECTIVE)]
    tasks = project.upload([*good, *(sample.image for sample in stains)])
    project.connect(backend)
    for task in tasks[:NORMAL]:
        project.mark_normal(task)
    wait_for_references(backend, project.id, ready=NORMAL)
    return Lot(project, list(zip(tasks[NORMAL:], stains, strict=True)))


@pytest.fixture(autouse=True)
def laptop(page: Page) -> Iterator[None]:
    before = page.viewport_size
    page.set_viewport_size(LAPTOP)  # type: ignore[arg-type]
    yield
    assert before is not None
    page.set_viewport_size(before)


def test_labels_and_choices_are_there_without_scrolling_and_have_keys(
    lot: Lot, window: LabelStudioWindow, page: Page, screenshot: Callable[[str], None]
) -> None:
    window.open_task(lot.project.id, lot.stains[0][0])
    labels = page.evaluate(LABELS_IN_WINDOW)
    assert [name for name, _ in labels] == ["stain 1", "stain shift+1", "normal[n]", "defective[d]"]
    assert all(visible for _, visible in labels)
    _, top, _, height = page.evaluate(editor.IMAGE_ON_STAGE, 0)
    stage = page.locator(".konvajs-content").first.bounding_box()
    assert stage is not None
    assert stage["y"] + top + height <= LAPTOP["height"] - 50  # the bar with Submit
    assert height >= 0.75 * LAPTOP["height"]
    screenshot("labels_above_the_image")
    assert chosen(window) == ["click: stain"]  # the only label
    page.keyboard.press("Shift+1")
    assert "brush: stain" in chosen(window)
    before = "click: stain" in chosen(window)
    page.keyboard.press("1")
    assert ("click: stain" in chosen(window)) != before  # a key takes a choice back, too
    for key, choice in (("n", "normal"), ("d", "defective")):
        page.keyboard.press(key)
        assert page.evaluate(editor.CHOSEN, choice)


@pytest.mark.parametrize(("number", "auto_accept"), [(1, True), (2, False)])
def test_a_click_on_a_proposed_mask_corrects_that_region(
    lot: Lot,
    window: LabelStudioWindow,
    page: Page,
    screenshot: Callable[[str], None],
    number: int,
    auto_accept: bool,
) -> None:
    """Ctrl is held, or Label Studio selects the region."""
    task, sample = lot.stains[number]
    lot.project.propose(task, [too_much(sample.mask)])
    window.open_task(lot.project.id, task)
    window.wait_for_masks()
    proposed = {
        one["id"]: decode(one)
        for row in lot.project.predictions(task)
        for one in row["result"]
        if "rle" in one["value"]
    }
    name = max(proposed, key=lambda name: overlap(proposed[name], sample.mask))
    shown, mask = window.regions(), proposed[name]
    window.take_smart_keypoint(LABEL, auto_accept=auto_accept)
    # What is too much; or just the middle, as a mask of which nothing is right would be answered with none.
    alt = overlap(mask, sample.mask) > 0.3 and bool((mask & ~sample.mask).any())
    place = where_to_click(mask if alt else np.zeros_like(mask), sample.mask if alt else mask, alt=alt)
    answer = only_region(window.click(LABEL, *place, alt=alt, on_region=True, attempts=1))
    assert page.evaluate(editor.SELECTED_REGIONS) == 0
    screenshot(f"corrected_proposal_{number}")
    assert answer["id"] == name
    if not auto_accept:
        window.accept_suggestion()
    assert window.regions().count(name) == 1
    assert set(window.regions()) <= set(shown)
    window.submit()
    stored = {one["id"]: one for one in lot.project.annotation(task)}
    assert np.array_equal(decode(stored[name]), decode(answer))
    assert not alt or not np.array_equal(decode(answer), proposed[name])  # a click in the middle begins anew
    assert window.errors == []


def too_much(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The region of a proposed mask that has a lobe of nothing beside the defect."""
    rows, columns = np.nonzero(mask)
    lobe = np.zeros(mask.shape, np.uint8)
    reach = max(20, int(np.ptp(columns)) // 2)
    right = int(columns.max()) + reach < mask.shape[1]
    x = int(columns.max()) if right else int(columns.min())
    cv2.circle(lobe, (x, int(rows.mean())), reach, 1, -1)
    config = parse_labeling_config(recommended_config([LABEL]), background_labels=())
    return brush_region(f"{PREFIX}{'0' * 12}", mask | (lobe > 0), LABEL, 0.8, config.main)


def chosen(window: LabelStudioWindow) -> list[str]:
    """The chosen labels, with their control."""
    labels: list[str] = json.loads(window.state())["labels"]
    return labels


def only_region(answer: dict[str, Any]) -> dict[str, Any]:
    region: dict[str, Any]
    (region,) = answer["data"]["result"]
    return region
