"""One Label Studio, one backend and one Chromium for all end-to-end tests; anything missing is a failure.

And a dashboard alone, for the tests of its pages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from adclick_backend.images.connections import Link
from tests.e2e import servers
from tests.helpers.backend import Backend

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.e2e.browser import LabelStudioWindow


@pytest.fixture(scope="session")
def label_studio_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("label-studio")


@pytest.fixture(scope="session")
def label_studio(label_studio_folder: Path) -> Iterator[str]:
    """URL of a Label Studio that may talk to private addresses."""
    with servers.label_studio(label_studio_folder) as url:
        yield url


@pytest.fixture(scope="session")
def person(label_studio: str) -> Iterator[requests.Session]:
    """The API with the rights of a logged-in person."""
    with servers.log_in(label_studio) as session:
        yield session


@pytest.fixture(scope="session")
def api_key(label_studio: str, person: requests.Session) -> str:
    """A personal access token."""
    answer = person.post(f"{label_studio}/api/token/", timeout=120)
    answer.raise_for_status()
    return str(answer.json()["token"])


@pytest.fixture(scope="session")
def backend(label_studio: str, api_key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a backend that was given Label Studio's address and the token."""
    folder = tmp_path_factory.mktemp("backend")
    with servers.backend(folder, label_studio_url=label_studio, api_key=api_key) as url:
        yield url


@pytest.fixture
def quick_backend(
    request: pytest.FixtureRequest, label_studio: str, api_key: str, tmp_path: Path
) -> Iterator[str]:
    """A backend of its own that trains without the transformer and with fewer steps.

    The parameter of the fixture says how many its segmentation network takes.
    """
    settings = {"ADCLICK_BACKBONE": "lite", "SEGMENTATION_STEPS": str(request.param)}
    with servers.backend(
        tmp_path / "data",
        label_studio_url=label_studio,
        api_key=api_key,
        settings=settings,
        short_trainings=True,
    ) as url:
        yield url


@pytest.fixture(scope="session")
def page() -> Iterator[Page]:
    from tests.e2e.browser import chromium

    with chromium() as window:
        yield window


@pytest.fixture(scope="session")
def window(page: Page, label_studio: str) -> LabelStudioWindow:
    """Label Studio as a logged-in person sees it."""
    from tests.e2e.browser import LabelStudioWindow

    return LabelStudioWindow(page, label_studio)


@pytest.fixture
def screenshot(page: Page) -> Callable[[str], None]:
    """Keep a picture of the window under a name in ADCLICK_SCREENSHOTS, if that is set."""
    kept = os.environ.get("ADCLICK_SCREENSHOTS", "")
    folder = Path(kept)

    def save(name: str) -> None:
        if not kept:
            return
        folder.mkdir(parents=True, exist_ok=True)
        page.wait_for_timeout(500)  # masks are drawn a moment after the page knows of them
        page.screenshot(path=folder / f"{name}.png", full_page=True)

    return save


@pytest.fixture
def connected(make_backend: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A backend with project 1 and neither a network nor a Label Studio behind it."""
    made = make_backend()
    link = Link("good", "Label Studio answers.", time.time())
    monkeypatch.setattr(made.services.links, "look", lambda *_: link)
    made.setup()
    return made


@pytest.fixture
def site(connected: Backend) -> Iterator[str]:
    """URL of the dashboard of a backend with project 1."""
    with servers.dashboard(connected.app) as url:
        yield url


@pytest.fixture
def complaints(page: Page) -> Iterator[list[str]]:
    """What the browser complains about: a script that fails, a style that the content policy forbids."""
    found: list[str] = []

    def note(text: str) -> None:
        if "Failed to load resource" not in text:
            found.append(text)

    page.on("pageerror", lambda error: note(str(error)))
    page.on("console", lambda message: note(message.text) if message.type == "error" else None)
    yield found
    assert not found
