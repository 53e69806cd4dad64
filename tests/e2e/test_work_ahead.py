"""Before the day starts, in a real Label Studio: all images prepared, and places like a mask found in the others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from adclick_backend.brush.rle import encode_rle
from adclick_backend.store import Job, Store
from tests.e2e import servers
from tests.e2e.project import Project, decode
from tests.e2e.simulated_person import wait_for_references

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.e2e.browser import LabelStudioWindow

pytestmark = pytest.mark.e2e

SIZE, NORMAL = 384, 3
PLACES = (((0.3, 0.3), (0.7, 0.6)), ((0.25, 0.65), (0.6, 0.25)), ())
"""Of the spots in the images that nobody called normal; the first image is labelled, the last is a good one."""
PATIENCE_S = 600.0  # for a job on a busy machine: it gives way to everything else


def spotted(
    seed: int, places: tuple[tuple[float, float], ...]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A cloth with equal dark spots, and their pixels."""
    from draw_samples import draw

    image = draw("cloth", seed=seed, size=SIZE).image.astype(np.float32)
    spots = np.zeros((SIZE, SIZE), np.uint8)
    for x, y in places:
        cv2.circle(spots, (round(x * SIZE), round(y * SIZE)), 11, 255, -1)
    ink = cv2.GaussianBlur(spots, (0, 0), 1.0).astype(np.float32)[..., None] / 255
    return (image * (1 - ink) + ink * np.array((45, 45, 45))).astype(np.uint8), spots > 0


def ended(store: Store, project: int, kind: str) -> Job:
    """The newest job of a kind once it is over."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = next((job for job in store.jobs.of_project(str(project)) if job.kind == kind), None)
        if found is not None and not found.active:
            return found
        time.sleep(0.2)
    raise AssertionError(f"No job of the kind {kind} ended: {store.jobs.of_project(str(project))[:3]}")


def test_images_are_prepared_and_places_like_a_mask_are_found_in_others(
    person: requests.Session,
    label_studio: str,
    api_key: str,
    page: Page,
    tmp_path: Path,
) -> None:
    from tests.e2e.browser import look_at

    folder = tmp_path / "data"
    with servers.backend(folder, label_studio_url=label_studio, api_key=api_key) as backend:
        project = Project.create(person, label_studio, "Work ahead", ["stain", "tear"])
        good = [spotted(seed, ())[0] for seed in range(NORMAL)]
        others = [spotted(NORMAL + seed, places) for seed, places in enumerate(PLACES)]
        tasks = project.upload([*good, *(image for image, _ in others)])
        project.connect(backend)
        for task in tasks[:NORMAL]:
            project.mark_normal(task)
        labelled, other, _ = tasks[NORMAL:]
        project.annotate(labelled, [region(others[0][1])])
        wait_for_references(backend, project.id, ready=NORMAL)
        with servers.looked_into(folder) as (store, _):
            look_at(page, f"{backend}/projects/{project.id}")
            page.get_by_role("button", name="Prepare all images").click()
            page.wait_for_url("**/training")
            job = ended(store, project.id, "prepare")
            assert job.state == "done", job.message
            assert job.message.startswith("6 images ready for a first click"), job.message

            look_at(page, f"{backend}/projects/{project.id}/labels")
            page.get_by_label("Masks of").select_option("stain")
            page.get_by_role("button", name="Find places like these").click()
            page.wait_for_url("**/training")
            job = ended(store, project.id, "alike")
            assert job.state == "done", job.message

        found = {task: project.versions_of(task) for task in tasks}
        assert {task for task, versions in found.items() if versions} == {other}, (found, job.message)
        (version,) = found[other]
        assert version.startswith("alike-stain-")
        prediction = project.prediction(other, version)
        assert 0.3 < prediction["score"] <= 1
        assert len(prediction["result"]) == 2
        mask, spots = np.logical_or.reduce([decode(r) for r in prediction["result"]]), others[1][1]
        assert (mask & spots).sum() > 0.5 * (mask | spots).sum()


def test_what_was_found_is_shown_when_its_task_is_opened(
    person: requests.Session, label_studio: str, backend: str, window: LabelStudioWindow
) -> None:
    """Label Studio shows predictions of the version that serves only; the backend tells it once more."""
    project = Project.create(person, label_studio, "Found", ["stain", "tear"])
    image, spots = spotted(1, PLACES[0])
    (task,) = project.upload([image])
    project.connect(backend)
    found = {**region(spots), "id": "adclick-proposal-found"}
    body = {
        "task": task,
        "project": project.id,
        "result": [found],
        "score": 0.8,
        "model_version": "alike-stain-1",
    }
    answer = person.post(f"{label_studio}/api/predictions/", json=body, timeout=180)
    assert answer.ok, answer.text
    window.open_task(project.id, task)
    assert window.wait_for_masks() == ["stain"]
    assert project.versions_of(task)[0] == "alike-stain-1"
    assert window.errors == []


def region(mask: NDArray[np.bool_]) -> dict[str, object]:
    """A painted mask as the editor stores it."""
    return {
        "id": "painted",
        "from_name": "brush",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": SIZE,
        "original_height": SIZE,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": encode_rle(mask), "brushlabels": ["stain"]},
    }
