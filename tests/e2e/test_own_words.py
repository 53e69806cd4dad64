"""A project with words of its own, in a real Label Studio: nothing is learned from them until somebody explains it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests

from adclick_backend.config.labeling_config import recommended_config
from tests.e2e.project import Project, decode
from tests.e2e.simulated_person import overlap, wait_for_references, where_to_click

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.browser import LabelStudioWindow

pytestmark = pytest.mark.e2e

PRODUCT, DEFECT = "flange", "stain"
GOOD = 4


def picked(value: str, control: str = "befund") -> dict[str, Any]:
    return {"from_name": control, "to_name": "image", "type": "choices", "value": {"choices": [value]}}


@pytest.fixture
def project(person: requests.Session, label_studio: str) -> Project:
    config = (
        recommended_config([DEFECT])
        .replace('name="state"', 'name="befund"')
        .replace('value="normal"', 'value="i.O."')
        .replace('value="defective"', 'value="n.i.O."')
        .removesuffix("</View>")
        + '<Choices name="kamera" toName="image"><Choice value="links"/><Choice value="rechts"/></Choices></View>'
    )
    return Project.with_config(person, label_studio, "Flansche", config)


def test_a_project_with_words_of_its_own_is_asked_once_and_learns_nothing_wrong(
    project: Project,
    backend: str,
    window: LabelStudioWindow,
    page: Page,
    screenshot: Callable[[str], None],
) -> None:
    from draw_samples import draw

    sample = draw(PRODUCT, DEFECT, seed=8)
    good = [draw(PRODUCT, seed=seed).image for seed in range(GOOD)]
    project.connect(backend)
    defective, first, *normal = project.upload([sample.image, *good])

    window.open_task(project.id, first)
    window.choose("i.O.")
    window.submit()
    for task in normal:
        project.annotate(task, [picked("i.O."), picked("links", "kamera")])
    project.annotate(defective, [picked("n.i.O.")])

    page.goto(f"{backend}/projects/{project.id}")
    assert "Which value of befund, kamera means free of defects" in page.inner_text("main")
    page.goto(f"{backend}/projects/{project.id}/references")
    assert "There is no reference yet" in page.inner_text("main")

    page.goto(f"{backend}/projects/{project.id}/labels")
    screenshot("own_words_asked")
    for control, values in enumerate((("normal", "defective"), ("nothing", "nothing"))):
        for number, meaning in enumerate(values):
            page.select_option(f"#meaning-{control}-{number}", meaning)
    page.click("text=Note this")
    wait_for_references(backend, project.id, ready=GOOD)
    page.goto(f"{backend}/projects/{project.id}/labels")
    said = page.inner_text("main")
    assert "What do these choices mean?" not in said
    screenshot("own_words_known")
    page.goto(f"{backend}/projects/{project.id}/references")
    names = page.inner_text("main")
    assert "000.png" not in names  # the image that is n.i.O.
    screenshot("own_words_references")

    window.open_task(project.id, defective)
    window.delete_proposals()
    window.take_smart_keypoint(DEFECT)
    mask = np.zeros_like(sample.mask)
    for _ in range(2):
        answer = window.click(DEFECT, *where_to_click(mask, sample.mask, alt=False))
        (region,) = answer["data"]["result"]
        mask = decode(region)
    screenshot("own_words_mask")
    reached = overlap(mask, sample.mask)
    print(f"mask: IoU {reached:.2f}")
    assert reached >= 0.7
