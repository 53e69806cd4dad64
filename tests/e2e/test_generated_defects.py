"""Three labelled defects in a real Label Studio, then generated ones on the dashboard, and what they are worth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from tests.e2e.project import Project, decode
from tests.e2e.simulated_person import overlap, wait_for_references
from tests.e2e.test_good_images_alone import choose, show, until_idle
from tests.e2e.test_training import Defect, label_by_requests

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.browser import LabelStudioWindow

pytestmark = [pytest.mark.e2e, pytest.mark.long]

PRODUCT, DEFECT, SIZE = "flange", "stain", 320
NORMAL, LABELLED, UNLABELLED = 3, 3, 3
PICTURES = 4


@dataclass(frozen=True)
class Lot:
    """A connected project: the normal images are references, three defects are labelled, the truth of the others."""

    project: Project
    jobs: str  # the page of the dashboard that shows them
    unlabelled: list[Defect]

    def fits(self, version: str) -> list[float]:
        """The IoU of what a version proposes for each unlabelled image; of nothing, when it finds nothing."""
        self.project.retrieve_predictions([defect.task for defect in self.unlabelled])
        until_idle(self.jobs)
        return [overlap(self.proposed(defect, version), defect.sample.mask) for defect in self.unlabelled]

    def proposed(self, defect: Defect, version: str) -> NDArray[np.bool_]:
        """All masks of a version in one, (H, W) bool."""
        mask = np.zeros_like(defect.sample.mask)
        if version in self.project.versions_of(defect.task):
            for region in self.project.prediction(defect.task, version)["result"]:
                if region["type"] == "brushlabels":
                    mask |= decode(region)
        return mask


@pytest.fixture
def lot(person: requests.Session, label_studio: str, quick_backend: str) -> Lot:
    from draw_samples import draw

    good = [draw(PRODUCT, seed=seed, size=SIZE).image for seed in range(NORMAL)]
    samples = [draw(PRODUCT, DEFECT, seed=seed, size=SIZE) for seed in range(LABELLED + UNLABELLED)]
    project = Project.create(person, label_studio, "Stained flanges", [DEFECT])
    tasks = project.upload([*good, *(sample.image for sample in samples)])
    project.connect(quick_backend)
    for task in tasks[:NORMAL]:
        project.mark_normal(task)
    wait_for_references(quick_backend, project.id, ready=NORMAL)
    defects = [Defect(task, DEFECT, sample) for task, sample in zip(tasks[NORMAL:], samples, strict=True)]
    for defect in defects[:LABELLED]:
        label_by_requests(project, defect)
    return Lot(project, f"{quick_backend}/projects/{project.id}/training", defects[LABELLED:])


@pytest.mark.parametrize("quick_backend", [40], indirect=True)  # it trains three times
def test_three_defects_are_generated_on_the_dashboard_and_tried_by_a_training(
    lot: Lot, quick_backend: str, window: LabelStudioWindow, page: Page, screenshot: Callable[[str], None]
) -> None:
    from tests.e2e.browser import look_at

    project, generated = lot.project, f"{quick_backend}/projects/{lot.project.id}/generated"
    before = lot.fits(project.model_version())
    predictions = project.prediction_count()
    began = time.monotonic()
    look_at(page, generated)
    page.get_by_label("Pictures that are kept").fill(str(PICTURES))
    page.get_by_role("button", name=f"Generate {DEFECT}").click()
    page.get_by_role("button", name="Cancel job").wait_for()
    screenshot("generating")
    print(ended(lot, began))
    look_at(page, generated)
    sheet = page.locator(".sheet li")
    assert sheet.count() == PICTURES
    page.get_by_role("button", name=f"Discard picture 0 of {DEFECT}").click()
    page.get_by_text(f"Picture 0 of {DEFECT} is discarded.").wait_for()
    assert page.locator(".sheet li.discarded").count() == 1
    page.evaluate("() => document.querySelectorAll('.sheet img').forEach(one => { one.loading = 'eager'; })")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.sheet img')].every(one => one.naturalWidth)"
    )
    screenshot("generated_defects")
    assert project.prediction_count() == predictions  # nothing of this went to Label Studio

    began = time.monotonic()
    window.start_training(project.id)
    said = ended(lot, began)
    print(said)
    assert "generated pictures were tried" in said
    assert "that neither way has learned from" in said
    used = "they help, and took part" in said
    look_at(page, generated)
    assert "In the training of v1" in page.inner_text("body")
    screenshot("generated_defects_after_the_training")
    look_at(page, f"{quick_backend}/projects/{project.id}/versions")
    choose(page, "trained")
    after = lot.fits(project.model_version())
    show("before the training", before)
    show(f"after it, {'with' if used else 'without'} generated pictures", after)
    window.open_task(project.id, lot.unlabelled[int(np.argmax(after))].task)
    assert set(window.wait_for_masks()) == {DEFECT}
    screenshot("masks_before_the_first_click_after_generated_defects")
    assert np.mean(after) > 0.2
    assert window.errors == []


def ended(lot: Lot, began: float) -> str:
    """What the last job said of itself when it was over, and how long that took."""
    time.sleep(1)
    said = until_idle(lot.jobs)
    said = said[said.index("What happened") :][:1600]
    return f"[{time.monotonic() - began:.0f} s] {said}"
