"""Whether a project's Label Studio answers, looked at without holding a page."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from adclick_backend.images.connections import LinkChecker
from adclick_backend.label_studio.instance import LabelStudio, LabelStudioError
from tests.helpers.backend import Backend


class Server:
    """A Label Studio that answers as told."""

    def __init__(self, url: str = "http://ls", error: str = "", delay_s: float = 0.0) -> None:
        self.url, self.error, self.delay_s, self.asked = url, error, delay_s, 0

    def check(self) -> dict[str, Any]:
        self.asked += 1
        time.sleep(self.delay_s)
        if self.error:
            raise LabelStudioError(self.error)
        return {"email": "a@b.c"}

    def get(self, path: str, **params: object) -> dict[str, Any]:
        return {"id": 1}


def checker(
    backend: Backend, server: Server, monkeypatch: pytest.MonkeyPatch, **settings: str
) -> LinkChecker:
    monkeypatch.setattr(backend.services.connections, "label_studio", lambda project: server)
    changed = backend.settings.model_copy(update=settings)
    return LinkChecker(changed, backend.services.connections, lambda project, label_studio: "good")


def test_the_link_is_looked_at_once_in_a_while(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    links = checker(backend, server, monkeypatch)
    assert links.look("1").state == "good"
    assert links.look("1").sentence == "http://ls answers to no token at all of a@b.c."
    assert server.asked == 1


def test_what_is_wrong_with_the_link_is_said(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"label_studio_url": "http://ls", "label_studio_api_key": "0" * 40}
    link = checker(backend, Server(error="It answers 401."), monkeypatch, **settings).look("1")
    assert link.state == "bad"
    assert link.sentence == "With the legacy token in LABEL_STUDIO_API_KEY: It answers 401."
    assert "set LABEL_STUDIO_URL" in checker(backend, Server(url=""), monkeypatch).look("1").sentence


def test_a_key_without_an_address_is_said_with_the_link(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = checker(backend, Server(), monkeypatch, label_studio_api_key="0" * 40).look("1")
    assert link.sentence.startswith("LABEL_STUDIO_API_KEY is set and LABEL_STUDIO_URL is not: ")
    assert link.sentence.endswith(" http://ls answers to no token at all of a@b.c.")


def test_a_slow_label_studio_does_not_hold_the_page(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = checker(backend, Server(delay_s=0.5), monkeypatch)
    links.PATIENCE_S = 0.05  # type: ignore[misc]
    assert links.look("1").state == "unknown"
    time.sleep(0.7)
    assert links.look("1").state == "good"


def test_clicks_that_come_at_once_ask_one_label_studio(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 29: each would have a token of its own to exchange."""
    made = LabelStudio.for_project

    def slowly(*args: Any, **options: Any) -> LabelStudio:
        time.sleep(0.1)
        return made(*args, **options)

    monkeypatch.setattr(LabelStudio, "for_project", slowly)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: backend.services.connections.label_studio("1"), range(8)))
    assert len({id(label_studio) for label_studio in found}) == 1
