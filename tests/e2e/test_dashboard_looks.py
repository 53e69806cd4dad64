"""Every page of the dashboard on a wide and a narrow screen, light and dark: nothing grave, nothing sticks out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.helpers.backend import Backend
from tests.helpers.lived_in import live_in, pages

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.e2e

WIDTHS = {1366: 768, 390: 844}


@pytest.fixture
def lived_in(connected: Backend, tmp_path: Path) -> Backend:
    """Project 1 with something on every page."""
    live_in(connected, tmp_path)
    return connected


@pytest.fixture
def sized(page: Page) -> Iterator[Page]:
    """The window, which gets its size and colours back."""
    before = page.viewport_size
    assert before is not None
    yield page
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(before)


def one_of_each(addresses: list[str]) -> list[str]:
    """The pages, and of the questions about one reference or another only the first."""
    alike = {re.sub(r"\d+/remove$", "N/remove", address): address for address in reversed(addresses)}
    return list(reversed(alike.values()))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_sound(
    sized: Page,
    site: str,
    lived_in: Backend,
    complaints: list[str],
    tmp_path: Path,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    from tests.e2e.looks import grave_findings, too_wide

    pictures = Path(os.environ.get("ADCLICK_SCREENSHOTS", tmp_path))
    pictures.mkdir(parents=True, exist_ok=True)
    sized.set_viewport_size({"width": width, "height": WIDTHS[width]})
    sized.emulate_media(color_scheme=scheme)
    texts = pages(lived_in)
    found = one_of_each(list(texts))
    assert len(found) > 15
    wrong = []
    for path in found:
        if re.search("/reports/[^/]+$", path):  # where it lies, no script may run, the checker's neither
            sized.goto("about:blank")
            sized.set_content(texts[path])
        else:
            sized.goto(site + path)
        sized.evaluate(
            "document.querySelectorAll('main details').forEach(details => { details.open = true; })"
        )
        wrong += [f"{path}: {finding}" for finding in (*too_wide(sized), *grave_findings(sized))]
        name = re.sub("[^a-z0-9]+", "-", path.strip("/"))
        sized.screenshot(path=pictures / f"{width}-{scheme}-{name}.png", full_page=True)
    assert not wrong, "\n".join(wrong)
