"""The dashboard in a real Chromium: by keyboard alone, while a job runs, and against forms from elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from adclick_backend.dashboard.pages import TABS
from adclick_backend.jobs.files import JobFiles
from adclick_backend.store.version import Version
from tests.helpers.backend import Backend
from tests.helpers.dashboard import form_token, png
from tests.helpers.references import wait_for
from tests.helpers.versions import candidate

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.e2e


@pytest.fixture
def trained(connected: Backend, tmp_path: Path) -> Backend:
    """Versions v1 and v2, of which v2 serves, with a picture of where they differ."""
    registry = connected.services.registry
    for name, iou in (("v1", 0.5), ("v2", 0.625)):
        folder = candidate(tmp_path / name, name.encode(), metrics={"iou": iou})
        (folder / "pictures").mkdir()
        (folder / "pictures/01.png").write_bytes(png())
        comparison = {
            "against": "v1" if name == "v2" else "",
            "reason": "It serves.",
            "candidate": {"iou": iou},
        }
        (folder / "comparison.json").write_text(json.dumps(comparison))
        registry.publish("1", folder, name)
        registry.activate("1", name)
    return connected


def tab_to(page: Page, words: str) -> None:
    """Press Tab until the element that is called so has the focus, and see that it shows it."""
    for _ in range(80):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "() => { const at = document.activeElement; "
            "return [at.getAttribute('aria-label') || at.innerText || '', getComputedStyle(at).outlineStyle]; }"
        )
        if name.strip() == words:
            assert outline == "solid", f"Nothing shows that {words} has the focus"
            return
    pytest.fail(f"{words} cannot be reached with the Tab key")


def test_every_page_is_reached_by_keyboard(page: Page, site: str, complaints: list[str]) -> None:
    page.goto(f"{site}/projects/1")
    for _, words in (*TABS[1:], TABS[0]):
        tab_to(page, words)
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert page.inner_text("nav.tabs [aria-current=page]") == words
        assert page.inner_text("h1")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_a_training_is_started_watched_and_cancelled(
    page: Page, site: str, connected: Backend, complaints: list[str], screenshot: Callable[[str], None]
) -> None:
    page.goto(f"{site}/projects/1/training")
    tab_to(page, "Start training")
    page.keyboard.press("Enter")
    page.get_by_text("waiting", exact=True).wait_for()
    (job,) = connected.services.jobs.of_project("1")
    tab_to(page, "Log")
    page.keyboard.press("Enter")

    table, files = connected.services.store.jobs, JobFiles(connected.settings.data_dir)
    table.begin(job.id, "Reading the labels.")
    files.folder("1", job.id).mkdir(parents=True)
    for number in range(1, 6):
        point = {"progress": number / 10, "state": "training", "loss": 1 / number, "iou": number / 10}
        files.add_to_curve("1", job.id, point)
    files.log_path("1", job.id).write_text("Step 5 of 10.")
    table.report(job.id, "training", message="Learning.", progress=0.5, seconds_left=120)
    page.get_by_text("50 %", exact=True).first.wait_for()  # without a reload
    page.get_by_text("about 2 minutes left").wait_for()
    assert page.locator("svg polyline").count() == 2
    assert page.inner_text("details.log pre") == "Step 5 of 10."
    assert page.evaluate("document.activeElement.innerText") == "Log"  # the focus stays where it was
    screenshot("dashboard_training")

    page.get_by_role("button", name=f"Cancel job {job.id}").press("Enter")
    page.wait_for_load_state()
    assert connected.services.jobs.get("1", job.id).cancel
    table.end(job.id, "cancelled", "Cancelled; the version before goes on serving.")
    page.get_by_role("button", name="Start training").wait_for()  # the page notices by itself
    assert "Cancelled; the version before goes on serving." in page.inner_text("table")


def test_a_job_that_ends_does_not_bring_somebody_back_who_has_followed_a_link(
    page: Page, site: str, connected: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = connected.services
    job = services.jobs.enqueue("1", "train", "a test")
    services.store.jobs.begin(job.id, "Reading labels.")
    page.goto(f"{site}/projects/1/training")
    page.locator("[data-live]").wait_for()
    listed = services.registry.list

    def slowly(project: str) -> list[Version]:
        time.sleep(4)  # the page that was asked for takes longer than the next look at the job
        return listed(project)

    monkeypatch.setattr(services.registry, "list", slowly)
    services.store.jobs.end(job.id, "done", "Learned.")
    page.get_by_role("link", name="Versions").click(no_wait_after=True)
    page.wait_for_url("**/versions", timeout=20_000)
    page.wait_for_timeout(2000)
    assert page.inner_text("h1") == "Versions"


def follow(page: Page, words: str) -> None:
    """Tab to what is called so, and press Enter; a page is loaded."""
    tab_to(page, words)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_by_keyboard_from_the_list_of_projects_to_an_activated_version(
    page: Page, site: str, trained: Backend, complaints: list[str]
) -> None:
    registry = trained.services.registry
    trained.setup("2.1")
    trained.services.store.projects.save("1", title="Flanges")
    page.goto(f"{site}/projects")
    follow(page, "Flanges")
    follow(page, "Versions")
    follow(page, "Activate v1")
    assert page.inner_text("#serving-title") == "Version v1 serves"
    assert "Version v1 serves now." in page.inner_text("[role=status]")
    version = registry.current("1")
    assert version is not None and version.name == "v1"
    follow(page, "Delete v2")
    follow(page, "Keep it")
    tab_to(page, "Project: Flanges")  # and over to the other project by the list that hangs over every page
    page.keyboard.press("Enter")
    follow(page, "Project 2")
    assert page.inner_text("h1") == "Versions"
    tab_to(page, "Project: Project 2")
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('details.projects').open")
    page.keyboard.press("Escape")
    assert not page.evaluate("document.querySelector('details.projects').open")


def test_a_version_is_compared_rolled_back_and_brought_forward(
    page: Page, site: str, trained: Backend, complaints: list[str], screenshot: Callable[[str], None]
) -> None:
    registry = trained.services.registry
    page.goto(f"{site}/projects/1/versions")
    follow(page, "Compare")
    picture = page.get_by_role("img", name="the mask of v1 and of v2")
    assert wait_for(lambda: picture.evaluate("image => image.complete && image.naturalWidth") == 64)
    follow(page, "Back to all versions")
    screenshot("dashboard_versions")
    for steps, serving in ((("Roll back to v1", "Roll back"), "v1"), (("Forward to v2 again",), "v2")):
        for words in steps:
            follow(page, words)
        assert page.inner_text("#serving-title") == f"Version {serving} serves"
        version = registry.current("1")
        assert version is not None and version.name == serving


@pytest.mark.parametrize("knows_token", [False, True])
def test_a_form_on_another_page_does_nothing(
    page: Page, site: str, trained: Backend, knows_token: bool
) -> None:
    """Even with the token, which another page cannot read: the browser says where the form comes from."""
    token = form_token(trained) if knows_token else ""
    form = (
        f'<form method="post" action="{site}/projects/1/versions/v1/activate">'
        f'<input name="form_token" value="{token}"><button>Win a prize</button></form>'
    )
    page.goto(f"data:text/html,{quote(form)}")
    with page.expect_navigation() as sent:
        page.get_by_role("button").click()
    assert sent.value is not None
    assert sent.value.status == 403
    version = trained.services.registry.current("1")
    assert version is not None
    assert version.name == "v2"
