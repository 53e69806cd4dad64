"""What a quality engineer does, in a real Label Studio and a real Chromium."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import requests

from tests.e2e.project import Project, decode
from tests.e2e.simulated_person import overlap, wait_for_references, where_to_click

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.browser import LabelStudioWindow

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
    window.delete_proposals()  # by the references alone
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
