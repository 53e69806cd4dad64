"""Which requests share threads: none of a kind that takes long makes another kind wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from adclick_backend.web.lanes import Lanes


class Channel:
    """A connection with one request, which takes until `go` is set."""

    def __init__(self, path: str, go: threading.Event) -> None:
        self.requests = [SimpleNamespace(path=path, error=None)]
        self.begun, self._go = threading.Event(), go

    def service(self) -> None:
        self.begun.set()
        self._go.wait(10)

    def cancel(self) -> None:
        """Nothing waits any more."""


@pytest.fixture
def go() -> threading.Event:
    return threading.Event()


@pytest.fixture
def lanes(go: threading.Event) -> Iterator[Lanes]:
    made = Lanes(1, prefix="/adclick")
    yield made
    go.set()
    made.shutdown(timeout=5)


def ask(lanes: Lanes, path: str, go: threading.Event) -> Any:
    channel = Channel(f"/adclick{path}", go)
    lanes.add_task(channel)
    return channel


def test_images_that_are_tried_pictures_and_exports_hold_up_nothing_else(
    lanes: Lanes, go: threading.Event
) -> None:
    paths = ("/projects/1/trial", "/projects/1/gallery", "/projects/1/gallery/7/small.jpg")
    exports = ("/projects/1/labels/export.zip", "/projects/2/labels/export.zip")
    busy = [ask(lanes, path, go) for path in (*paths, *exports)]
    assert all(channel.begun.wait(5) for channel in busy)
    waits = ask(lanes, "/projects/1/trial/0123/heat.jpg", go)
    for path in (
        "/predict",
        "/health",
        "/webhook",
        "/projects/1",
        "/projects/1/labels",
        "/projects/1/trials",
    ):
        assert ask(lanes, path, go).begun.wait(5), path
    assert not waits.begun.wait(0.2)
    go.set()
    assert waits.begun.wait(5)


def test_images_from_the_line_hold_up_nothing_else(lanes: Lanes, go: threading.Event) -> None:
    busy = [ask(lanes, "/detect", go) for _ in range(3)]
    assert busy[0].begun.wait(5) and busy[1].begun.wait(5)
    others = [ask(lanes, path, go) for path in ("/predict", "/health", "/projects/1/trial", "/projects/1")]
    assert all(channel.begun.wait(5) for channel in others)
    assert not busy[2].begun.is_set()
