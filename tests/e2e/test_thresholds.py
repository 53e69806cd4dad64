"""A threshold is moved on the dashboard, and a task in a real Label Studio shows the new mask, without any training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from adclick_backend.brush.rle import encode_rle
from tests.e2e.project import Project, decode
from tests.e2e.simulated_person import overlap, wait_for_references
from tests.e2e.test_good_images_alone import until_idle
from tests.helpers.references import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.browser import LabelStudioWindow

pytestmark = pytest.mark.e2e

PRODUCT, DEFECT, SIZE = "flange", "contamination", 384
GOOD, LABELLED = 6, 4


def brush(mask: NDArray[np.bool_]) -> dict[str, object]:
    """A mask as a person who painted it submits it."""
    height, width = mask.shape
    return {
        "from_name": "brush",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": encode_rle(mask), "brushlabels": [DEFECT]},
    }


def test_a_threshold_moves_the_mask_of_a_task(
    person: requests.Session,
    label_studio: str,
    backend: str,
    window: LabelStudioWindow,
    page: Page,
    screenshot: Callable[[str], None],
) -> None:
    from draw_samples import draw

    good = [draw(PRODUCT, seed=seed, size=SIZE).image for seed in range(GOOD)]
    samples = [draw(PRODUCT, DEFECT, seed=200 + seed, size=SIZE) for seed in range(LABELLED + 1)]
    project = Project.create(person, label_studio, "Thresholds", [DEFECT])
    tasks = project.upload([*good, *(sample.image for sample in samples)])
    project.connect(backend)
    for task in tasks[:GOOD]:
        project.mark_normal(task)
    wait_for_references(backend, project.id, ready=GOOD)
    for task, sample in zip(tasks[GOOD:-1], samples, strict=False):
        project.annotate(task, [brush(sample.mask)])
    last, truth = tasks[-1], samples[-1].mask

    def proposed() -> NDArray[np.bool_]:
        """All that what serves proposes for the last task; nothing, where nothing is worth proposing."""
        project.retrieve_predictions([last])
        until_idle(f"{backend}/projects/{project.id}/training")
        mask, version = np.zeros_like(truth), project.model_version()
        if version in project.versions_of(last):
            for region in project.prediction(last, version)["result"]:
                mask |= decode(region)
        return mask

    address, usual = f"{backend}/projects/{project.id}/threshold", project.model_version()
    before = proposed()
    page.goto(address)
    page.get_by_role("button", name="Measure").click()
    until_idle(f"{backend}/projects/{project.id}/training")
    page.goto(address)
    print(page.inner_text("section[aria-labelledby=together-title]"))
    slider = page.get_by_role("slider", name="Threshold of a defect")
    slider.focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    sides = page.locator("[data-part=changes-0] .mark")
    assert wait_for(lambda: "Not saved yet" in page.inner_text("[data-part=save]"))
    assert wait_for(lambda: sides.count() > 0), page.inner_text("main")
    print(sides.all_inner_texts(), page.inner_text("[data-part=said-0]"))
    assert "clean → marked" in sides.all_inner_texts()
    screenshot("thresholds_far_too_low")
    for _ in range(7):  # to 64 %, where the masks fit best and no good image is marked
        page.keyboard.press("ArrowRight")
    assert wait_for(lambda: page.inner_text("[data-part=point-0]") == "64 %")
    print(page.inner_text("[data-part=said-0]"))
    screenshot("thresholds_before_saving")
    page.get_by_role("button", name="Save these thresholds").click()
    page.get_by_role("status").get_by_text("Masks are cut at a defect").wait_for()

    version = project.model_version()
    assert version.startswith(f"{usual}-at-")
    after = proposed()
    print(f"{before.sum()} pixels at 50 %, IoU {overlap(before, truth):.2f};", end=" ")
    print(f"{after.sum()} pixels at 64 %, IoU {overlap(after, truth):.2f}")
    assert overlap(after, truth) > 0.3 and not np.array_equal(after, before)
    window.open_task(project.id, last)
    assert set(window.wait_for_masks()) == {DEFECT}
    screenshot("mask_at_the_threshold")

    page.goto(address)
    page.get_by_role("button", name="Take the last change back").click()
    page.get_by_role("status").get_by_text("The thresholds are what they were before").wait_for()
    assert project.model_version() == usual
    assert "In force: as calibrated" in page.inner_text("main")
    assert window.errors == []
