"""The page of the thresholds in a real Chromium: by keyboard, with and without a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.backend import Backend
from tests.helpers.lived_in import live_in
from tests.helpers.references import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.e2e


@pytest.fixture
def lived_in(connected: Backend, tmp_path: Path) -> Backend:
    """Project 1, whose version v3 has thresholds and a curve."""
    live_in(connected, tmp_path)
    return connected


def test_a_slider_is_moved_saved_and_taken_back(
    page: Page, site: str, lived_in: Backend, complaints: list[str], screenshot: Callable[[str], None]
) -> None:
    thresholds = lived_in.services.thresholds
    page.goto(f"{site}/projects/1/versions")
    page.get_by_role("link", name="Thresholds").press("Enter")
    page.wait_for_url("**/projects/1/threshold")
    sides = page.locator("[data-part=changes-1] li")
    assert sides.count() == 0
    assert wait_for(lambda: page.get_by_role("button", name="Show").count() == 0)  # the script needs none
    slider = page.get_by_role("slider", name="Threshold of scratch")
    slider.focus()
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
    assert wait_for(lambda: sides.count() > 0)
    assert wait_for(lambda: page.inner_text("[data-part=point-1]") != "24 %")
    said = page.locator("[data-part=changes-1] .mark").all_inner_texts()
    assert "missed → found" in said and "clean → marked" in said
    assert "Not saved yet: scratch at" in page.inner_text("[data-part=save]")
    assert page.evaluate("document.activeElement.id") == "slider-1"
    pictures = page.locator("[data-part=changes-1] img")
    pictures.last.scroll_into_view_if_needed()
    assert wait_for(lambda: pictures.last.evaluate("image => image.complete && image.naturalWidth > 0"))
    screenshot("dashboard_thresholds")
    page.get_by_role("button", name="Save these thresholds").press("Enter")
    page.get_by_role("status").get_by_text("Masks are cut at scratch").wait_for()
    assert thresholds.of("1").points["scratch"] < 0.05
    page.get_by_role("button", name="Take it back").press("Enter")
    page.get_by_role("status").get_by_text(
        "The thresholds are what they were before: scratch 24 %."
    ).wait_for()
    assert thresholds.of("1").points["scratch"] == 0.24


def test_who_saves_at_once_saves_what_the_slider_shows(page: Page, site: str, lived_in: Backend) -> None:
    page.goto(f"{site}/projects/1/threshold")
    page.evaluate(
        """() => {
          const slider = document.getElementById("slider-1");
          slider.value = "20";
          slider.dispatchEvent(new Event("input", {bubbles: true}));
          document.getElementById("save").requestSubmit();
        }"""
    )
    page.get_by_role("status").get_by_text("Masks are cut at scratch 99 %").wait_for()
    assert lived_in.services.thresholds.of("1").points["scratch"] == 0.9901


def test_without_a_script_everything_is_there(page: Page, site: str, lived_in: Backend) -> None:
    assert page.context.browser is not None
    context = page.context.browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    try:
        plain.goto(f"{site}/projects/1/threshold")
        plain.get_by_role("slider", name="Threshold of scratch").press("Home")
        plain.get_by_role("button", name="Show").last.click()
        plain.wait_for_url("**point%3Ascratch=0**")
        assert plain.inner_text("[data-part=point-1]") == "0.1 %"
        assert plain.locator("[data-part=changes-1] li").count() > 3
        assert "form_token" not in plain.url
        plain.get_by_role("button", name="Save these thresholds").click()
        plain.get_by_role("status").get_by_text("Masks are cut at scratch 0.1 %").wait_for()
    finally:
        context.close()
    assert lived_in.services.thresholds.of("1").points == {"dent": 0.5, "scratch": 0.001}
