"""Label Studio's pages as a person uses them, in a real Chromium."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Page, Request, Route, expect, sync_playwright
from servers import PASSWORD, USER

CHROMIUM = os.environ.get("ADCLICK_CHROMIUM", "/usr/bin/chromium")
# Without these Chromium looks for its maker's servers, which a closed network refuses one by one.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Page]:
    """A fresh Chromium window that can reach this machine only."""
    if not Path(CHROMIUM).exists():
        raise FileNotFoundError(
            f"{CHROMIUM} is missing. Install it (on Debian: apt-get install chromium) or set ADCLICK_CHROMIUM."
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1200})
        page.set_default_timeout(60_000)
        page.route(lambda url: not url.startswith(("http://127.0.0.1:", "data:", "blob:")), _abort)
        try:
            yield page
        finally:
            browser.close()


def _abort(route: Route) -> None:
    route.abort()


# Where the stage shows the upper left corner of the image and how large, both in pixels of the window.
IMAGE_ON_STAGE = """() => {
    const image = Htx.annotationStore.selected.objects[0], scale = image.zoomScale;
    return [image.zoomingPositionX, image.zoomingPositionY, image.stageWidth * scale, image.stageHeight * scale];
}"""


# The labels of the masks that the open task shows.
LABELS_OF_MASKS = """() => Htx.annotationStore.selected.regions
    .filter(region => region.type === "brushregion").flatMap(region => region.labels)"""


class LabelStudioWindow:
    """A logged-in Label Studio window.

    Attributes:
        clicked: the key points that the request of the last click held.
        errors: what Label Studio's pages complained about so far; a file that is not there is no complaint.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.clicked: list[dict[str, Any]] = []
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)
        page.goto(f"{url}/user/login/")
        page.fill("input[name=email]", USER)
        page.fill("input[name=password]", PASSWORD)
        page.click("button[type=submit]")
        page.wait_for_url(lambda now: "/user/login" not in now)

    def connect_model(self, project: int, backend: str) -> str:
        """Settings > Model > Connect Model, interactive on; returns what the page says afterwards."""
        self.page.goto(f"{self.url}/projects/{project}/settings/ml")
        self.page.get_by_role("button", name="Add machine learning model").first.click()
        self.page.fill("input[name=title]", "ADClick")
        self.page.fill("input[name=url]", backend)
        self.page.locator("input[name=is_interactive]").click(force=True)
        with self.page.expect_response(lambda r: "/api/ml" in r.url and r.request.method == "POST"):
            self.page.get_by_role("button", name="Save machine learning form").click()
        self.page.wait_for_timeout(500)
        return self.page.inner_text("body")

    def start_training(self, project: int) -> None:
        """Settings > Model > Start Training."""
        self.page.goto(f"{self.url}/projects/{project}/settings/ml")
        self.page.get_by_role("button", name="Machine learning model options").first.click()
        self.page.get_by_text("Start Training", exact=True).first.click()
        with self.page.expect_response(lambda r: r.url.rstrip("/").endswith("/train")) as started:
            self.page.get_by_role("button", name="Start Training").last.click()
        assert started.value.ok, started.value.text()
        self.page.get_by_text("Request Sent!").first.wait_for()

    def open_task(self, project: int, task: int) -> None:
        """Open a task in the labeling editor and wait for its image."""
        self.page.goto(f"{self.url}/projects/{project}/data?task={task}")
        self.page.wait_for_selector(".konvajs-content canvas")
        self.page.wait_for_function(  # a width of 1 stands for an image that is still on its way
            "window.Htx?.annotationStore?.selected?.objects?.[0]?.naturalWidth > 1", timeout=60_000
        )
        self.page.wait_for_timeout(800)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    def take_smart_keypoint(self, label: str, *, auto_accept: bool = False) -> None:
        """Auto-Annotation on, the purple key point tool, a label that stays selected."""
        toggle = self.page.get_by_test_id("bottombar-auto-annotation-toggle")
        if not toggle.is_checked():
            toggle.click(force=True)
        accept = self.page.get_by_test_id("bottombar-auto-accept-toggle")
        if accept.is_checked() != auto_accept:
            accept.click(force=True)
        self._select(label)
        self.page.locator(".lsf-tool_smart").first.click()

    def _select(self, label: str) -> None:
        """Choose ``label`` among the labels of the key point tool, which come after those of the brush."""
        choice = self.page.locator(".lsf-label", has_text=label).last
        if "selected" not in (choice.get_attribute("class") or ""):
            choice.click()

    def click(
        self, label: str, x: float, y: float, *, alt: bool = False, on_region: bool = False
    ) -> dict[str, Any]:
        """Click at x, y (fractions of the image) and return the backend's answer as Label Studio got it.

        On a region, which an accepted mask is, Label Studio selects the region instead, unless Ctrl is held.
        """
        self._select(label)
        stage = self.page.locator(".konvajs-content").first.bounding_box()
        assert stage is not None
        left, top, width, height = self.page.evaluate(IMAGE_ON_STAGE)
        held = [key for key, down in (("Alt", alt), ("Control", on_region)) if down]
        for key in held:
            self.page.keyboard.down(key)
        with self.page.expect_response(lambda r: "/interactive-annotating" in r.url) as caught:
            self.page.mouse.click(stage["x"] + left + x * width, stage["y"] + top + y * height)
        for key in held:
            self.page.keyboard.up(key)
        self.clicked = caught.value.request.post_data_json["context"]["result"]
        answer: dict[str, Any] = caught.value.json()
        self.page.wait_for_timeout(400)
        return answer

    def wait_for_masks(self) -> list[str]:
        """Wait until the open task shows masks; their labels."""
        self.page.wait_for_function(f"({LABELS_OF_MASKS})().length > 0")
        labels: list[str] = self.page.evaluate(LABELS_OF_MASKS)
        return labels

    def delete_proposal(self) -> None:
        """Ctrl+Backspace, confirmed: what was proposed, masks or "normal", makes room for clicks."""
        self.page.wait_for_function("Htx.annotationStore.selected.regions.length > 0")
        self.page.once("dialog", lambda dialog: dialog.accept())
        self.page.keyboard.press("Control+Backspace")
        self.page.wait_for_function("Htx.annotationStore.selected.regions.length === 0")

    def accept_suggestion(self) -> None:
        """Press the tick beside the suggested mask."""
        self.page.get_by_test_id("bottombar-accept-suggestions-button").click()
        self.page.wait_for_timeout(400)

    def choose(self, choice: str) -> None:
        """Tick one of the Choices."""
        self.page.get_by_text(re.compile(rf"^{choice}")).first.click()

    def submit(self) -> None:
        """Press Submit and wait until Label Studio has stored the annotation."""
        with self.page.expect_response(_stores_annotation) as stored:
            self.page.locator("button[aria-label*=ubmit]").first.click()
        assert stored.value.ok, stored.value.text()


def _stores_annotation(response: Any) -> bool:
    request: Request = response.request
    return request.method == "POST" and request.url.split("?")[0].rstrip("/").endswith("/annotations")


__all__ = ["LabelStudioWindow", "chromium", "expect"]
