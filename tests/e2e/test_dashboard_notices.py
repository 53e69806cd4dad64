"""A finished job reaches somebody who looks elsewhere; and an image is tried, in a real Chromium."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from adclick_backend.images.connections import Link
from tests.e2e import servers
from tests.helpers.backend import Backend
from tests.helpers.dashboard import png
from tests.helpers.references import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.e2e

# A browser that allows notifications and whose window is somewhere behind another one.
ELSEWHERE = """
window.told = [];
window.Notification = class { constructor(title, more) { window.told.push([title, more.body]); } };
window.Notification.permission = "granted";
window.away = true;
Object.defineProperty(document, "hidden", { get: () => window.away });
"""


@pytest.fixture
def served(make_backend: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A backend with project 1 and three references."""
    made = make_backend()
    monkeypatch.setattr(made.services.links, "look", lambda *_: Link("good", "It answers.", time.time()))
    made.setup()
    for grey in (80, 90, 100):
        made.services.references.add("1", png(grey), source="upload", name=f"good {grey}.png")
    made.work()
    return made


@pytest.fixture
def site(served: Backend) -> Iterator[str]:
    with servers.dashboard(served.app) as url:
        yield url


def test_a_training_that_ends_is_noticed_from_elsewhere(page: Page, site: str, served: Backend) -> None:
    store = served.services.store
    job = served.services.jobs.enqueue("1", "train", "a test")
    store.jobs.begin(job.id, "Starting.")
    store.jobs.report(job.id, "training", message="Learning.", progress=0.4, seconds_left=None)
    assert page.context.browser is not None
    context = page.context.browser.new_context()
    away = context.new_page()
    try:
        away.add_init_script(ELSEWHERE)
        away.goto(f"{site}/projects/1/references")
        title = "Defect-free references"
        assert wait_for(lambda: away.title().startswith("40 % Training"))
        assert away.get_attribute("link[rel=icon]", "href") == "/static/icon-busy.svg"
        store.jobs.end(job.id, "done", "v1 serves.", version="v1")
        assert wait_for(lambda: away.title().startswith("✓ Training done"))
        assert away.get_attribute("link[rel=icon]", "href") == "/static/icon-done.svg"
        assert away.evaluate("window.told") == [["Training done", "v1 serves."]]
        away.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
        assert away.title().startswith(title)
        assert str(away.get_attribute("link[rel=icon]", "href")).endswith("/static/icon.svg")
    finally:
        context.close()


def test_who_looks_at_another_page_reads_it_there(page: Page, site: str, served: Backend) -> None:
    store = served.services.store
    job = served.services.jobs.enqueue("1", "push", "a test")
    store.jobs.begin(job.id, "Starting.")
    page.goto(f"{site}/projects/1/prompts")
    assert wait_for(lambda: "Predictions for all tasks" in page.title())
    store.jobs.end(job.id, "failed", "Label Studio is away.")
    line = page.get_by_role("status").get_by_text("Label Studio is away.")
    line.wait_for(timeout=30_000)
    assert page.title().startswith("✗ Predictions for all tasks failed")
    page.keyboard.press("Shift")
    assert "✗" not in page.title()
    page.get_by_role("link", name="Predictions for all tasks failed.").click()
    page.wait_for_url(f"**/training/{job.id}")


def test_an_image_is_tried_and_the_threshold_played_with(
    page: Page, site: str, tmp_path: Path, screenshot: Callable[[str], None]
) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{site}/projects/1/trial")
    page.set_input_files("#image", str(_red(tmp_path)))
    page.get_by_role("button", name="Try it").first.press("Enter")
    page.wait_for_url("**/trial/*")
    page.locator("canvas").wait_for()
    assert "2.08 % of the image is marked." in page.inner_text("[data-share]")
    slider = page.get_by_role("slider", name="Threshold")
    slider.focus()
    for _ in range(45):
        page.keyboard.press("ArrowLeft")
    assert page.inner_text("output[for=threshold]") == "5 %"
    assert "100.00 % of the image is marked." in page.inner_text("[data-share]")
    assert page.evaluate(
        "() => { const d = document.querySelector('canvas').getContext('2d').getImageData(20, 24, 1, 1).data;"
        " return d[0] > d[1] && d[0] > d[2]; }"
    )
    screenshot("dashboard_trial")
    assert errors == []


def test_an_image_is_dropped(page: Page, site: str, tmp_path: Path) -> None:
    data = list(_red(tmp_path).read_bytes())
    page.goto(f"{site}/projects/1/trial")
    page.evaluate(
        """bytes => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
          const form = document.querySelector("[data-drop]");
          for (const kind of ["dragenter", "dragover", "drop"]) {
            form.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
          }
        }""",
        data,
    )
    page.wait_for_url("**/trial/*")
    assert "dropped.png" in page.inner_text("#found-title")


def test_without_a_script_everything_is_there(page: Page, site: str, tmp_path: Path) -> None:
    assert page.context.browser is not None
    context = page.context.browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    try:
        plain.goto(f"{site}/projects/1/trial")
        plain.set_input_files("#image", str(_red(tmp_path)))
        plain.get_by_role("button", name="Try it").first.click()
        plain.wait_for_url("**/trial/*")
        plain.get_by_role("slider", name="Threshold").press("End")
        plain.get_by_role("button", name="Show").click()
        plain.wait_for_url("**threshold=99**")
        assert "0.00 % of the image is marked." in plain.inner_text("[data-share]")
        assert plain.locator("img").count() >= 9
    finally:
        context.close()


def _red(folder: Path) -> Path:
    """An image with a red square at (20, 24)."""
    pixels = np.full((48, 64, 3), 90, np.uint8)
    pixels[20:28, 16:24] = (0, 0, 200)
    cv2.imwrite(str(folder / "red.png"), pixels)
    return folder / "red.png"
