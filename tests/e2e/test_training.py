"""Start Training in a real Label Studio: from a dozen clicked defects to masks before the first click, and back.

The first two defects are labelled in the window, as a person does it. The other ten are labelled by the same requests
that the window sends (the clicks to Label Studio's interactive endpoint, the accepted mask as an annotation), because
ten more in the window would take minutes and show nothing new.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from tests.e2e.project import Project, decode, key_point
from tests.e2e.simulated_person import overlap, wait_for_references, where_to_click

if TYPE_CHECKING:
    from draw_samples import Sample
    from playwright.sync_api import Page

    from tests.e2e.browser import LabelStudioWindow

pytestmark = [pytest.mark.e2e, pytest.mark.long]

PRODUCT, DEFECTS, SIZE = "flange", ("stain", "contamination"), 384
NORMAL, LABELLED, BY_HAND, UNLABELLED = 6, 12, 2, 6
CLICKS = 3
PATIENCE_S = 40 * 60  # for a training on a busy machine


# What the page of the trainings shows of the job that runs.
JOB_ON_PAGE = """() => {
    const job = document.querySelector("[data-live]");
    return {
        state: job?.querySelector("[data-part=state] .mark")?.innerText ?? "",
        percent: job?.querySelector("progress")?.value ?? 0,
        curves: [...job?.querySelectorAll("figcaption") ?? []].map(one => one.firstChild.textContent.trim()),
    };
}"""


@dataclass(frozen=True)
class Defect:
    """A task with a drawn defect: what kind, and where it truly is."""

    task: int
    kind: str
    sample: Sample


@dataclass(frozen=True)
class Lot:
    """A connected project: the normal images are references, no defect is labelled yet."""

    project: Project
    defects: list[Defect]


@pytest.fixture
def lot(person: requests.Session, label_studio: str, quick_backend: str) -> Lot:
    from draw_samples import draw

    kinds = [DEFECTS[number % len(DEFECTS)] for number in range(LABELLED + UNLABELLED)]
    samples = [draw(PRODUCT, kind, seed=seed, size=SIZE) for seed, kind in enumerate(kinds)]
    good = [draw(PRODUCT, seed=seed, size=SIZE).image for seed in range(NORMAL)]
    project = Project.create(person, label_studio, "Trained flanges", list(DEFECTS))
    tasks = project.upload([*good, *(sample.image for sample in samples)])
    project.connect(quick_backend)
    for task in tasks[:NORMAL]:
        project.mark_normal(task)
    wait_for_references(quick_backend, project.id, ready=NORMAL)
    return Lot(project, [Defect(*row) for row in zip(tasks[NORMAL:], kinds, samples, strict=True)])


@pytest.mark.parametrize("quick_backend", [120], indirect=True)  # of 240: good enough to be told from nothing
def test_training_brings_masks_before_the_first_click_and_can_be_rolled_back(
    lot: Lot,
    quick_backend: str,
    window: LabelStudioWindow,
    page: Page,
    screenshot: Callable[[str], None],
) -> None:
    project, labelled, unlabelled = lot.project, lot.defects[:LABELLED], lot.defects[LABELLED:]
    for defect in labelled[:BY_HAND]:
        label_in_the_window(window, project, defect)
    for defect in labelled[BY_HAND:]:
        label_by_requests(project, defect)
    fits = [overlap(union(project.annotation(d.task)), d.sample.mask) for d in labelled]
    print(f"labels: mean IoU {np.mean(fits):.2f} after {CLICKS} clicks at most")
    untrained = project.model_version()

    window.start_training(project.id)
    states = watch_training(page, f"{quick_backend}/projects/{project.id}/training", screenshot)
    print("on the dashboard:", " > ".join(states))
    assert states[-1] == "done", page.inner_text("body")
    trained = project.model_version()
    assert trained == f"{untrained}+p{project.id}-v1"

    shown = unlabelled[0]
    window.open_task(project.id, shown.task)
    labels = window.wait_for_masks()
    screenshot("masks_before_the_first_click")
    assert labels and set(labels) <= set(DEFECTS)
    window.submit()  # the proposal as it is
    look_until(
        page,
        f"{quick_backend}/projects/{project.id}/training",
        "1 image was labelled since the last training",
    )
    screenshot("training_page_afterwards")
    project.retrieve_predictions([defect.task for defect in unlabelled])
    fits, named = [], 0
    for defect in unlabelled:
        prediction = project.prediction(defect.task, trained)
        fits.append(overlap(union(prediction["result"], like=defect.sample.mask), defect.sample.mask))
        named += largest_label(prediction["result"]) == defect.kind
    print("predictions: IoU", " ".join(f"{fit:.2f}" for fit in fits), f"mean {np.mean(fits):.2f}")
    print(f"the largest mask has the right label in {named} of {len(unlabelled)}")
    assert np.mean(fits) >= 0.5

    page.goto(f"{quick_backend}/projects/{project.id}/versions")
    assert "Version v1 serves" in page.inner_text("body")
    screenshot("versions_page")
    page.get_by_role("link", name="v1", exact=True).click()
    page.get_by_role("heading", name="Where they differ").wait_for()
    screenshot("comparison_page")
    page.go_back()
    page.get_by_role("link", name="Roll back to the packaged network").click()
    page.get_by_role("button", name="Roll back", exact=True).click()
    page.get_by_text("No trained version serves").wait_for()
    assert project.model_version() == untrained
    for name in ("", "references", "labels", "prompts", "reports"):
        page.goto(f"{quick_backend}/projects/{project.id}/{name}".rstrip("/"))
        screenshot(f"dashboard_{name or 'overview'}")
    # Opening a task asks only where there is no prediction yet; retrieving asks whenever the version is another.
    project.retrieve_predictions([defect.task for defect in unlabelled])
    found = [set(project.versions_of(defect.task)) for defect in unlabelled]
    assert all(versions <= {trained, untrained} for versions in found), found
    assert sum(trained in versions for versions in found) >= 0.8 * len(found)
    assert window.errors == []


def label_in_the_window(window: LabelStudioWindow, project: Project, defect: Defect) -> None:
    """Delete what the references alone propose, click until the mask is good, accept it, submit."""
    window.open_task(project.id, defect.task)
    window.delete_proposals()
    window.take_smart_keypoint(defect.kind)
    mask = np.zeros_like(defect.sample.mask)
    for _ in range(CLICKS):
        x, y, alt = next_click(mask, defect.sample.mask)
        (region,) = window.click(defect.kind, x, y, alt=alt)["data"]["result"]
        mask = decode(region)
        if overlap(mask, defect.sample.mask) > 0.85:
            break
    window.accept_suggestion()
    window.submit()


def label_by_requests(project: Project, defect: Defect) -> None:
    """The same without the window."""
    mask, points = np.zeros_like(defect.sample.mask), []
    height, width = mask.shape
    for _ in range(CLICKS):
        x, y, alt = next_click(mask, defect.sample.mask)
        points.append(key_point(defect.kind, x, y, positive=not alt, height=height, width=width))
        (region,) = project.ask(defect.task, points)
        mask = decode(region)
        if overlap(mask, defect.sample.mask) > 0.85:
            break
    project.annotate(defect.task, [region])


def next_click(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[float, float, bool]:
    """x, y as fractions of the image, and whether Alt is held: where the larger part of the error is."""
    alt = int((mask & ~truth).sum()) > int((truth & ~mask).sum())
    return (*where_to_click(mask, truth, alt=alt), alt)


def look_until(page: Page, url: str, words: str) -> None:
    """Load a page until it says something: what was submitted arrives in the background."""
    deadline = time.monotonic() + 60
    page.goto(url)
    while words not in " ".join(page.inner_text("body").split()):
        assert time.monotonic() < deadline, f"{words!r} is not on {url}: {page.inner_text('body')}"
        page.wait_for_timeout(500)
        page.goto(url)


def watch_training(page: Page, url: str, screenshot: Callable[[str], None]) -> list[str]:
    """Look at the page, which renews itself, until the job is over; the states that it showed."""
    from playwright.sync_api import Error as PlaywrightError

    page.goto(url)
    earlier = page.locator("tbody tr .mark")
    states: list[str] = []
    percent = 0
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and not earlier.count():
        try:
            shown: dict[str, Any] = page.evaluate(JOB_ON_PAGE)
        except PlaywrightError as error:
            assert "context was destroyed" in str(error), error  # the job is over: the page loads itself anew
            continue
        if shown["state"] and shown["state"] not in states:
            states.append(shown["state"])
            screenshot(f"training_{shown['state']}".replace(" ", "_"))
        if shown["curves"] == ["Loss", "On held-out images"] and shown["percent"] >= percent + 15:
            percent = shown["percent"]
            screenshot(f"training_at_{percent // 10 * 10}")
        page.wait_for_timeout(500)
    assert percent, (
        "While it ran, the page showed no curve of the loss and of the measures on held-out images"
    )
    ended = earlier.first.inner_text()
    screenshot("training_ended")
    return states if states[-1:] == [ended] else [*states, ended]


def union(result: list[dict[str, Any]], like: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """The pixels of all brush regions; of none, the empty mask of the given shape."""
    masks = [decode(region) for region in result if region["type"] == "brushlabels"]
    if not masks:
        assert like is not None, "no mask"
        return np.zeros_like(like)
    return np.logical_or.reduce(masks)


def largest_label(result: list[dict[str, Any]]) -> str:
    """The label of the largest mask; "" without any."""
    masks = [region for region in result if region["type"] == "brushlabels"]
    largest = max(masks, key=lambda region: decode(region).sum(), default=None)
    return largest["value"]["brushlabels"][0] if largest else ""
