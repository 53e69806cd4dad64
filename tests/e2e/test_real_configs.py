"""Labeling configs of real projects in a real Label Studio: what the editor sends, and what it takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import requests

from adclick_backend.cli import main
from adclick_backend.config.labeling_config import parse_labeling_config
from tests.e2e.project import Project, decode
from tests.helpers.real_configs import CONFIGS

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.browser import LabelStudioWindow

pytestmark = pytest.mark.e2e

PRODUCT, DEFECT = "flange", "stain"


@pytest.fixture(scope="module")
def pictures(person: requests.Session, label_studio: str) -> tuple[Any, list[str]]:
    """A drawn defect, and the addresses of a picture without it and of one with it."""
    from draw_samples import draw

    sample = draw(PRODUCT, DEFECT, seed=8)
    store = Project.create(person, label_studio, "Pictures", ["scratch"])
    tasks = store.upload([draw(PRODUCT, seed=1).image, sample.image])
    return sample, [store.data(task)["image"] for task in tasks]


@pytest.fixture
def connected(
    person: requests.Session, label_studio: str, backend: str
) -> Callable[..., tuple[Project, int]]:
    """A project with that labeling config and a task with these data, connected to the backend."""

    def make(name: str, data: dict[str, Any], config: str = "") -> tuple[Project, int]:
        project = Project.with_config(person, label_studio, name, config or CONFIGS[name])
        task = project.add(data)
        project.connect(backend)
        return project, task

    return make


def middle(sample: Any) -> tuple[float, float]:
    """A pixel of the defect, as fractions of the image."""
    rows, columns = sample.mask.nonzero()
    at = len(rows) // 2
    height, width = sample.mask.shape
    return (columns[at] + 0.5) / width, (rows[at] + 0.5) / height


@pytest.mark.parametrize("name", CONFIGS)
def test_label_studio_takes_the_corrected_config_of_every_real_config(
    name: str, person: requests.Session, label_studio: str
) -> None:
    corrected = parse_labeling_config(CONFIGS[name]).corrected
    project = Project.with_config(person, label_studio, name, CONFIGS[name])
    project.add(
        {key: "/a.png" for key in ("image", "front", "back", "file")}
        | {"images": ["/a.png"], "photo": {"url": "/a.png"}}
    )
    answer = person.patch(
        f"{label_studio}/api/projects/{project.id}/", json={"label_config": corrected}, timeout=120
    )
    assert answer.status_code == 200, answer.text
    assert project.config() == corrected
    assert parse_labeling_config(corrected).problems == ()


def test_a_click_on_the_second_image_is_drawn_on_the_second_image(
    connected: Callable[..., tuple[Project, int]],
    pictures: tuple[Any, list[str]],
    window: LabelStudioWindow,
    page: Page,
    screenshot: Callable[[str], None],
) -> None:
    sample, (good, defective) = pictures
    project, task = connected("click on the second of two images", {"front": good, "back": defective})
    window.open_task(project.id, task)
    window.image = 1
    try:
        window.take_smart_keypoint("scratch")
        answer = window.click("scratch", *middle(sample))
        screenshot("second_image")
        window.accept_suggestion()
        window.submit()
    finally:
        window.image = 0
    (point,) = window.clicked
    assert (point["from_name"], point["to_name"]) == ("k2", "back")
    (region,) = answer["data"]["result"]
    assert (region["from_name"], region["to_name"]) == ("b2", "back")
    assert (decode(region) & sample.mask).any()
    assert [(one["from_name"], one["to_name"]) for one in project.annotation(task)] == [("b2", "back")]


@pytest.mark.parametrize("name", ["nested field", "prefix and field"])
def test_an_address_put_together_from_the_task_is_shown_and_clicked(
    name: str,
    connected: Callable[..., tuple[Project, int]],
    pictures: tuple[Any, list[str]],
    window: LabelStudioWindow,
) -> None:
    sample, (_, defective) = pictures
    prefix, _, file = defective.rpartition("/")
    data = {"photo": {"url": defective}} if name == "nested field" else {"file": file}
    project, task = connected(name, data, CONFIGS[name].replace("/data/upload/1", prefix))
    window.open_task(project.id, task)
    window.take_smart_keypoint("scratch")
    (region,) = window.click("scratch", *middle(sample))["data"]["result"]
    assert (decode(region) & sample.mask).any()


def test_after_the_correction_a_click_beside_bitmasks_arrives(
    connected: Callable[..., tuple[Project, int]],
    pictures: tuple[Any, list[str]],
    window: LabelStudioWindow,
    page: Page,
    label_studio: str,
    api_key: str,
    backend: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sample, (_, defective) = pictures
    project, task = connected("bitmask labels before the key points", {"image": defective})
    window.open_task(project.id, task)
    assert not window.sends_a_click("scratch", *middle(sample))

    common = ["--label-studio", label_studio, "--api-key", api_key, "--backend", backend]
    assert main(["connect", *common, "--project", str(project.id), "--fix-config"]) == 0
    said = capsys.readouterr().out
    assert '<BitmaskLabels> "pix" gets smart="false".' in said
    assert "written into Label Studio" in said
    window.open_task(project.id, task)
    assert window.sends_a_click("scratch", *middle(sample))


def test_a_label_with_a_space_at_its_end_keeps_its_name_in_the_editor(
    connected: Callable[..., tuple[Project, int]],
    pictures: tuple[Any, list[str]],
    window: LabelStudioWindow,
    page: Page,
) -> None:
    sample, (_, defective) = pictures
    project, task = connected("label with a space at its end", {"image": defective})
    window.open_task(project.id, task)
    window.take_smart_keypoint("scratch ")
    window.click("scratch ", *middle(sample))
    window.accept_suggestion()
    assert window.wait_for_masks() == ["scratch "]
    colours = page.evaluate(
        """() => {
            const opened = Htx.annotationStore.selected, region = opened.regions[0];
            const brush = [...opened.names.values()].find(tag => tag.type === "brushlabels");
            return [region.getOneColor(), brush.children.find(label => label.value === "scratch ").background];
        }"""
    )
    assert colours[0] == colours[1]
    window.submit()
    assert project.annotation(task)[0]["value"]["brushlabels"] == ["scratch "]


def test_smart_key_points_before_a_smart_rectangle_are_the_first_smart_tool(
    connected: Callable[..., tuple[Project, int]],
    pictures: tuple[Any, list[str]],
    window: LabelStudioWindow,
    page: Page,
) -> None:
    """Later on Label Studio begins with the tool that was used last, and each press takes the next one."""
    sample, (_, defective) = pictures
    project, task = connected("smart rectangle", {"image": defective})
    page.evaluate("() => localStorage.removeItem('selected-tool:image')")
    window.open_task(project.id, task)
    assert window.sends_a_click("scratch", *middle(sample))


def test_a_smart_rectangle_is_answered_with_a_mask_inside_it(
    connected: Callable[..., tuple[Project, int]],
    pictures: tuple[Any, list[str]],
    window: LabelStudioWindow,
    screenshot: Callable[[str], None],
) -> None:
    sample, (_, defective) = pictures
    project, task = connected("smart rectangle", {"image": defective})
    window.open_task(project.id, task)
    rows, columns = sample.mask.nonzero()
    height, width = sample.mask.shape
    corners = (columns.min() / width, rows.min() / height, columns.max() / width, rows.max() / height)
    (inside,) = window.draw_smart_rectangle("scratch", *corners)["data"]["result"]
    screenshot("smart_rectangle")
    assert (decode(inside) & sample.mask).any()
    outside = decode(inside)
    outside[rows.min() - 1 : rows.max() + 2, columns.min() - 1 : columns.max() + 2] = False
    assert not outside.any()
