"""What a quality engineer does, in a real Label Studio and a real Chromium."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import requests
from numpy.typing import NDArray
from project import Project, decode

if TYPE_CHECKING:
    from browser import LabelStudioWindow
    from playwright.sync_api import Page

pytestmark = pytest.mark.e2e

PRODUCT, DEFECT = "flange", "stain"
GOOD = 6


@pytest.fixture
def project(person: requests.Session, label_studio: str) -> Project:
    return Project.create(person, label_studio, "Flanges", [DEFECT, "scratch"])


def test_a_clicked_defect_becomes_its_mask_and_a_normal_image_a_reference(
    project: Project,
    backend: str,
    window: LabelStudioWindow,
    page: Page,
    screenshot: Callable[[str], None],
) -> None:
    from draw_samples import draw

    sample = draw(PRODUCT, DEFECT, seed=8)
    good = [draw(PRODUCT, seed=seed).image for seed in range(GOOD)]
    defective, another, *normal = project.upload([sample.image, *good])

    said = window.connect_model(project.id, backend)
    assert "Connected" in said, said
    for task in normal:
        project.mark_normal(task)
    wait_for_references(backend, project.id, ready=len(normal))

    window.open_task(project.id, defective)
    window.take_smart_keypoint(DEFECT)
    mask = np.zeros_like(sample.mask)
    for alt in (False, False, True):
        answer = window.click(DEFECT, *where_to_click(mask, sample.mask, alt=alt), alt=alt)
        (region,) = answer["data"]["result"]
        mask = decode(region)
    screenshot("mask_in_label_studio")
    window.accept_suggestion()
    window.submit()
    assert [region["type"] for region in project.annotation(defective)] == ["brushlabels"]
    stored = overlap(project.mask(defective), sample.mask)
    print(f"stored mask: IoU {stored:.2f}")
    assert stored >= 0.7

    window.open_task(project.id, another)
    window.choose("normal")
    window.submit()
    wait_for_references(backend, project.id, ready=GOOD)
    page.goto(f"{backend}/projects/{project.id}/references")
    assert "001.png" in page.inner_text("body")  # the file that was just marked
    screenshot("references_page")


def where_to_click(mask: NDArray[np.bool_], truth: NDArray[np.bool_], *, alt: bool) -> tuple[float, float]:
    """Well inside what is missing (with Alt: what is too much), as fractions x, y of the image."""
    wrong = mask & ~truth if alt else truth & ~mask
    if not wrong.any():  # nothing to correct: confirm the defect, or what lies beside it
        wrong = widened(truth, 41) & ~widened(truth, 11) if alt else truth
    inside = cv2.distanceTransform(np.pad(wrong, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    height, width = truth.shape
    return (float(column) + 0.5) / width, (float(row) + 0.5) / height


def widened(mask: NDArray[np.bool_], diameter: int) -> NDArray[np.bool_]:
    return cv2.dilate(mask.astype(np.uint8), np.ones((diameter, diameter), np.uint8)) > 0


def overlap(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((mask & truth).sum() / (mask | truth).sum())


def wait_for_references(backend: str, project: int, *, ready: int, limit_s: float = 60.0) -> None:
    """Wait until /metrics counts that many ready references of the project."""
    count = re.compile(
        rf'^adclick_references{{[^}}]*project="{project}"[^}}]*state="ready"[^}}]*}} ([0-9.]+)$', re.M
    )
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        text = requests.get(f"{backend}/metrics", timeout=10).text
        if sum(float(number) for number in count.findall(text)) >= ready:
            return
        time.sleep(0.3)
    pytest.fail(f"After {limit_s} s the project has no {ready} ready references:\n{text}")
