"""Label Studio's pages as a person uses them, in a real Chromium."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import (
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Response,
    Route,
    expect,
    sync_playwright,
)
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as NothingHappened

from tests.e2e import editor
from tests.e2e.servers import PASSWORD, USER

ATTEMPTS = 3
SHORT_MS = 5_000  # after which a person presses once more
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
        page.set_default_timeout(120_000)
        page.route(lambda url: not url.startswith(("http://127.0.0.1:", "data:", "blob:")), _abort)
        try:
            yield page
        finally:
            browser.close()


def _abort(route: Route) -> None:
    route.abort()


class LabelStudioWindow:
    """A logged-in Label Studio window.

    Attributes:
        clicked: the key points that the request of the last click held.
        errors: what Label Studio's pages complained about so far; a file that is not there is no complaint.
        image: number of the image that is clicked, 0 for the first of the task.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.clicked: list[dict[str, Any]] = []
        self.image = 0
        self.errors: list[str] = []
        self._opened: set[int] = set()  # projects
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
        with suppress(NothingHappened):  # then the caller shows what the page says
            self.page.get_by_text("Connected").first.wait_for(timeout=20_000)
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
        """Open a task in the labeling editor; its image is there then, and so is what the backend proposes.

        Label Studio reads the first task that a new browser shows of a project twice, and may drop its predictions.
        """
        for _ in range(1 if project in self._opened else 2):
            self.page.goto(f"{self.url}/projects/{project}/data?task={task}")
            self._until(editor.OPENED, task)
        self._opened.add(project)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.errors.append(message.text)

    def take_smart_keypoint(self, label: str, *, auto_accept: bool = False) -> None:
        """Auto-Annotation on, the purple key point tool, a label that stays selected."""
        self._switch("bottombar-auto-annotation-toggle", on=True)
        self._switch("bottombar-auto-accept-toggle", on=auto_accept)
        self._get_ready(label)

    def _switch(self, toggle: str, *, on: bool) -> None:
        found = self.page.get_by_test_id(toggle)
        if found.is_checked() != on:
            found.click(force=True)
        expect(found).to_be_checked(checked=on)

    def _get_ready(self, label: str) -> None:
        """See that the smart tool and the label are chosen, as far as they are not; labels go after each click."""
        ready = [label, self.image, "KeyPoint"]
        for _ in range(ATTEMPTS):
            if self.page.evaluate(editor.READY_TO_CLICK, ready):
                return
            self._choose_label(label)
            self.page.locator(".lsf-tool_smart").nth(self.image).click()
            with suppress(NothingHappened):
                self.page.wait_for_function(editor.READY_TO_CLICK, arg=ready, timeout=SHORT_MS)
        assert self.page.evaluate(editor.READY_TO_CLICK, ready), f"{label} cannot be clicked: {self.state()}"

    def _choose_label(self, label: str, kind: str = "KeyPoint") -> None:
        """Press a label of the control of that kind which is for the image; brushes have labels of the same name."""
        place = self.page.evaluate(editor.PLACE_OF_LABEL, [label, self.image, kind])
        assert place >= 0, f"There is no {label} to press: {self.state()}"
        choice = self.page.locator(".lsf-label").nth(place)
        if "selected" not in (choice.get_attribute("class") or ""):
            choice.click()

    def sends_a_click(self, label: str, x: float, y: float) -> bool:
        """Whether Auto-Annotation, the purple tool pressed once, the label and a click at x, y ask the backend."""
        self._switch("bottombar-auto-annotation-toggle", on=True)
        self.page.locator(".lsf-tool_smart").nth(self.image).click()
        self._choose_label(label)
        return self._press(x, y, []) is not None

    def draw_smart_rectangle(
        self, label: str, left: float, top: float, right: float, bottom: float
    ) -> dict[str, Any]:
        """Draw a smart rectangle between two corners (fractions of the image); the backend's answer."""
        self._switch("bottombar-auto-annotation-toggle", on=True)
        self._switch("bottombar-auto-accept-toggle", on=False)
        for _ in range(2 * ATTEMPTS):  # each press takes the next smart tool
            if self.page.evaluate(editor.TOOL, self.image) == "RectangleTool-dynamic":
                break
            self.page.locator(".lsf-tool_smart").nth(self.image).click()
        self._choose_label(label, "Rectangle")
        assert self.page.evaluate(editor.READY_TO_CLICK, [label, self.image, "Rectangle"]), self.state()
        with self.page.expect_request(_asks_the_backend, timeout=SHORT_MS) as sent:
            self.page.mouse.move(*self._on_page(left, top))
            self.page.mouse.down()
            self.page.mouse.move(*self._on_page((left + right) / 2, (top + bottom) / 2))
            self.page.mouse.move(*self._on_page(right, bottom))
            self.page.mouse.up()
        response = sent.value.response()
        assert response is not None
        answer: dict[str, Any] = response.json()
        self._until("() => !Htx.awaitingSuggestions")
        return answer

    def _on_page(self, x: float, y: float) -> tuple[float, float]:
        """Where x, y of the image (fractions) are in the window."""
        stage = self.page.locator(".konvajs-content").nth(self.image).bounding_box()
        assert stage is not None
        left, top, width, height = self.page.evaluate(editor.IMAGE_ON_STAGE, self.image)
        return stage["x"] + left + x * width, stage["y"] + top + y * height

    def click(
        self,
        label: str,
        x: float,
        y: float,
        *,
        alt: bool = False,
        on_region: bool = False,
        attempts: int = ATTEMPTS,
    ) -> dict[str, Any]:
        """Click at x, y (fractions of the image) and return the backend's answer as Label Studio got it.

        On a region, which an accepted mask is, Label Studio selects the region instead, unless Ctrl is held. A click
        that sends nothing is done again, as a person does it; what the editor was like then is printed.
        """
        held = [key for key, down in (("Alt", alt), ("Control", on_region)) if down]
        for attempt in range(attempts):
            self._get_ready(label)
            request = self._press(x, y, held)
            if request is not None:
                break
            print(f"Click {attempt + 1} at {x:.3f}, {y:.3f} sent nothing: {self.state()}")
            if self.page.evaluate(editor.SELECTED_REGIONS):
                self.page.keyboard.press("Escape")
        else:
            raise AssertionError(f"{attempts} clicks at {x:.3f}, {y:.3f} sent nothing: {self.state()}")
        response = request.response()
        assert response is not None, f"{request.url}: {request.failure}"
        self.clicked = request.post_data_json["context"]["result"]
        answer: dict[str, Any] = response.json()
        self._until("() => !Htx.awaitingSuggestions")
        return answer

    def _press(self, x: float, y: float, held: list[str]) -> Request | None:
        """Press the mouse button at x, y of the image with these keys held; the request, if that sends one."""
        place = self._on_page(x, y)
        for key in held:
            self.page.keyboard.down(key)
        try:
            with self.page.expect_request(_asks_the_backend, timeout=SHORT_MS) as sent:
                self.page.mouse.click(*place)
            return sent.value
        except NothingHappened:
            return None
        finally:
            for key in held:
                self.page.keyboard.up(key)

    def wait_for_masks(self) -> list[str]:
        """Wait until the open task shows masks; their labels."""
        self._until(f"() => ({editor.LABELS_OF_MASKS})().length > 0")
        labels: list[str] = self.page.evaluate(editor.LABELS_OF_MASKS)
        return labels

    def regions(self) -> list[str]:
        """The ids of the regions that the open task shows, as Label Studio stores them."""
        found: list[str] = self.page.evaluate(
            "() => Htx.annotationStore.selected.regions.map(region => region.cleanId)"
        )
        return found

    def delete_proposals(self) -> None:
        """Ctrl+Backspace, confirmed: what was proposed, masks or "normal", makes room for clicks."""

        def confirm(dialog: Dialog) -> None:
            dialog.accept()

        self.page.on("dialog", confirm)
        try:
            for _ in range(ATTEMPTS):
                if self.page.evaluate(editor.REGIONS) == 0:
                    return
                self.page.keyboard.press("Control+Backspace")
                with suppress(NothingHappened):
                    self.page.wait_for_function(f"() => ({editor.REGIONS})() === 0", timeout=SHORT_MS)
        finally:
            self.page.remove_listener("dialog", confirm)
        assert self.page.evaluate(editor.REGIONS) == 0, f"The proposal cannot be deleted: {self.state()}"

    def accept_suggestion(self) -> None:
        """Press the tick beside the suggested mask."""
        self.page.get_by_test_id("bottombar-accept-suggestions-button").click()
        self._until("() => Htx.annotationStore.selected.suggestions.size === 0")

    def choose(self, choice: str) -> None:
        """Tick one of the Choices."""
        self.page.get_by_text(re.compile(rf"^{choice}")).first.click()
        self._until(editor.CHOSEN, choice)

    def state(self) -> str:
        """What the editor is like now, for a person who wonders why a click did nothing."""
        return json.dumps(self.page.evaluate(editor.STATE))

    def _until(self, condition: str, argument: object = None) -> None:
        """Wait for something that the editor's page can tell."""
        try:
            self.page.wait_for_function(condition, arg=argument)
        except NothingHappened as error:
            raise AssertionError(f"{condition} did not come true: {self.state()}") from error

    def submit(self) -> None:
        """Press Submit and wait until Label Studio has stored the annotation."""
        with self.page.expect_response(_stores_annotation) as stored:
            self.page.locator("button[aria-label*=ubmit]").first.click()
        assert stored.value.ok, stored.value.text()


def look_at(page: Page, address: str) -> None:
    """Go to a page of the dashboard from one that may load itself anew meanwhile, as it does when a job has ended."""
    for _ in range(ATTEMPTS):
        try:
            page.goto(address)
        except PlaywrightError as error:
            if "interrupted by another navigation" not in str(error) and "ERR_ABORTED" not in str(error):
                raise
        page.wait_for_load_state()
        page.wait_for_timeout(500)  # whatever else was under way has come or gone
        if page.url == address:
            return
    raise AssertionError(f"{address} was not reached, but {page.url}")


def _asks_the_backend(request: Request) -> bool:
    return "/interactive-annotating" in request.url


def _stores_annotation(response: Response) -> bool:
    request: Request = response.request
    return request.method == "POST" and request.url.split("?")[0].rstrip("/").endswith("/annotations")


__all__ = ["LabelStudioWindow", "chromium", "expect", "look_at"]
