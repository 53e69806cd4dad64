"""Labels of a real Label Studio taken along, beside what its own export makes of them; the button in Chromium."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from adclick_runtime import coco_rle
from tests.e2e.project import Project
from tests.helpers.backend import Backend
from tests.helpers.labels import annotated, block, brush, choice
from tests.helpers.references import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.e2e


def ring(shape: tuple[int, int], x: int, y: int, outer: int, inner: int) -> NDArray[np.bool_]:
    away = np.hypot(*(np.indices(shape) - np.array([y, x])[:, None, None]))
    return np.asarray((away <= outer) & (away > inner))


def zip_of(address: str, **query: str) -> dict[str, bytes]:
    answer = requests.get(address, params=query, timeout=180)
    answer.raise_for_status()
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_masks_with_holes_leave_label_studio_whole(
    label_studio: str, backend: str, person: requests.Session
) -> None:
    from draw_samples import draw

    project = Project.create(person, label_studio, "Taken along", ["scratch", "dent"])
    project.connect(backend)
    images = [draw("cap", seed=seed).image for seed in range(2)]
    shape = images[0].shape[:2]
    tasks = project.upload(images)
    masks = {"scratch": ring(shape, 100, 90, 50, 25), "dent": ring(shape, 180, 150, 30, -1)}
    regions = [{**brush(mask, name, f"r-{name}"), "from_name": "brush"} for name, mask in masks.items()]
    project.annotate(tasks[0], regions)
    project.mark_normal(tasks[1])
    made = zip_of(f"{backend}/projects/{project.id}/labels/export.zip", format="coco")
    found = json.loads(made["annotations.json"])
    names = {one["id"]: one["name"] for one in found["categories"]}
    assert len(found["images"]) == 2
    for one in found["annotations"]:
        assert np.array_equal(coco_rle.decoded(one["segmentation"], *shape), masks[names[one["category_id"]]])
    assert len(found["annotations"]) == 2
    shown = cv2.imdecode(
        np.frombuffer(made[f"images/{found['images'][0]['file_name']}"], np.uint8), cv2.IMREAD_COLOR
    )
    assert np.array_equal(cv2.cvtColor(shown, cv2.COLOR_BGR2RGB), images[0])

    # Why this is needed: of the same mask, Label Studio's own export keeps the outline, and loses the hole.
    address = f"{label_studio}/api/projects/{project.id}/export"
    own = person.get(address, params={"exportType": "BRUSH_TO_COCO"}, timeout=180)
    own.raise_for_status()
    with zipfile.ZipFile(io.BytesIO(own.content)) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".json")]
        theirs = json.loads(archive.read(name))
    categories = {one["id"]: one["name"] for one in theirs["categories"]}
    filled = np.zeros(shape, np.uint8)
    for one in theirs["annotations"]:
        if categories[one["category_id"]] == "scratch":
            corners: list[Any] = [np.array(part, np.int32).reshape(-1, 2) for part in one["segmentation"]]
            cv2.fillPoly(filled, corners, (1,))
    assert filled[90, 100]
    assert not masks["scratch"][90, 100]


def test_the_button_downloads_and_says_how_far_it_is(page: Page, site: str, connected: Backend) -> None:
    connected.services.connections.label_studio("1")._transport._sleep = lambda seconds: None
    for number, result in ((1, [brush(block(8, 12, 16, 20))]), (2, [choice("normal")])):
        data = {"id": number, "data": {"image": connected.draw(f"{number}.png", grey=80 + number)}}
        connected.webhook("ANNOTATION_CREATED", annotation=annotated(number, result), task=data)
    connected.sync()
    page.goto(f"{site}/projects/1/labels")
    page.get_by_label("As", exact=True).select_option("mvtec")
    with page.expect_download() as begun:
        page.get_by_role("button", name="Export").click()
    assert begun.value.suggested_filename == "Screws-mvtec.zip"
    with zipfile.ZipFile(begun.value.path()) as archive:
        assert "Screws/ground_truth/scratch/1-1_mask.png" in archive.namelist()
    assert wait_for(lambda: "Exported: 2 images" in page.inner_text("main"))
    assert page.url.endswith("/projects/1/labels")
