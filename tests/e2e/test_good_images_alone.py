"""Start Training in a real Label Studio with six good images and no label: masks, and where they may come from."""

from __future__ import annotations

import re
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

if TYPE_CHECKING:
    from draw_samples import Sample
    from playwright.sync_api import Page

    from tests.e2e.browser import LabelStudioWindow

pytestmark = [pytest.mark.e2e, pytest.mark.long]

PRODUCT, DEFECTS, SIZE = "flange", ("stain", "contamination"), 384
GOOD, DEFECTIVE = 6, 4
PATIENCE_S = 40 * 60  # for a training on a busy machine


@dataclass(frozen=True)
class Lot:
    """A connected project: the good images are references, nothing else is labelled; the truth of the other tasks."""

    project: Project
    jobs: str  # the page of the dashboard that shows them
    truth: dict[int, Sample]

    def fits(self, version: str) -> list[float]:
        """The IoU of what a version proposes for each of the other tasks; of nothing, when it finds nothing."""
        self.project.retrieve_predictions(list(self.truth))
        until_idle(self.jobs)  # what takes longer than Label Studio waits is brought to it
        return [overlap(self.proposed(task, version), sample.mask) for task, sample in self.truth.items()]

    def proposed(self, task: int, version: str) -> NDArray[np.bool_]:
        """All masks that a version proposes for a task in one, (H, W) bool."""
        mask = np.zeros_like(self.truth[task].mask)
        if version in self.project.versions_of(task):
            for region in self.project.prediction(task, version)["result"]:
                if region["type"] == "brushlabels":
                    mask |= decode(region)
        return mask


@pytest.fixture
def lot(person: requests.Session, label_studio: str, quick_backend: str) -> Lot:
    from draw_samples import draw

    good = [draw(PRODUCT, seed=seed, size=SIZE).image for seed in range(GOOD)]
    samples = [
        draw(PRODUCT, DEFECTS[seed % len(DEFECTS)], seed=100 + seed, size=SIZE) for seed in range(DEFECTIVE)
    ]
    project = Project.create(person, label_studio, "Good flanges", list(DEFECTS))
    tasks = project.upload([*good, *(sample.image for sample in samples)])
    project.connect(quick_backend)
    for task in tasks[:GOOD]:
        project.mark_normal(task)
    wait_for_references(quick_backend, project.id, ready=GOOD)
    return Lot(
        project,
        f"{quick_backend}/projects/{project.id}/training",
        dict(zip(tasks[GOOD:], samples, strict=True)),
    )


@pytest.mark.parametrize("quick_backend", [80], indirect=True)
def test_good_images_alone_bring_masks_and_a_table_of_where_they_may_come_from(
    lot: Lot, quick_backend: str, window: LabelStudioWindow, page: Page, screenshot: Callable[[str], None]
) -> None:
    project = lot.project
    untrained = project.model_version()
    before = lot.fits(untrained)

    began = time.monotonic()
    window.start_training(project.id)
    said = until_idle(lot.jobs)
    print(f"trained in {time.monotonic() - began:.0f} s: {said}")
    assert "Version v1 was trained. It was promoted" in said
    assert "sources of masks before the first click" in said
    trained = project.model_version()
    assert trained == f"{untrained}+p{project.id}-v1"
    after = lot.fits(trained)
    show("before the training", before)
    show("after it", after)
    assert np.mean(after) >= np.mean(before) - 0.02
    window.open_task(project.id, next(t for t, fit in zip(lot.truth, after, strict=True) if fit))
    assert set(window.wait_for_masks()) <= set(DEFECTS)
    screenshot("masks_without_a_label")

    versions = f"{quick_backend}/projects/{project.id}/versions"
    page.goto(versions)
    table = page.locator("section[aria-labelledby=sources-title] table")
    rows = [row.split("\t") for row in table.inner_text().split("\n")[1:]]
    print(table.inner_text())
    names = [re.sub(r"\s*automatic$", "", row[0].strip()) for row in rows]
    assert {"the trained network", "the packaged network", "the residual", "InvAD", "OneNIP"} <= set(names)
    screenshot("sources_on_the_versions_page")
    for name in page.locator("#source option").evaluate_all("all => all.map(one => one.value)")[1:]:
        choose(page, name)
        asked = project.model_version()
        assert asked in (trained, f"{trained}-{name.replace('+', '-')}")
        show(f"with {name} chosen", lot.fits(asked))
    page.get_by_role("link", name="v1", exact=True).click()
    page.get_by_role("heading", name="The sources side by side").wait_for()
    screenshot("sources_side_by_side")
    assert window.errors == []


def choose(page: Page, source: str) -> None:
    """Choose a source of masks on the page Versions."""
    form = page.locator("form").filter(has=page.get_by_label("Masks come from"))
    form.get_by_role("combobox").select_option(source)
    with page.expect_navigation():
        form.get_by_role("button", name="Choose").click()
    assert "Masks before the first click come from" in page.get_by_role("status").inner_text()
    assert page.locator("#source").input_value() == source


def show(name: str, found: list[float]) -> None:
    print(f"IoU {name}:", " ".join(f"{fit:.2f}" for fit in found), f"mean {np.mean(found):.2f}")


def until_idle(page: str) -> str:
    """Wait until no job runs; what the page of the jobs says of those that ended."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        text = requests.get(page, timeout=60).text
        if "data-live" not in text:
            return " ".join(re.sub(r"<[^>]+>", " ", text).split())
        time.sleep(2)
    pytest.fail(f"The job is not over after {PATIENCE_S} s: {text}")
