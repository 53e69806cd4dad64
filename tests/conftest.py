"""Fixtures that many test modules share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adclick_backend.images.connections import Link
from adclick_backend.settings import get_settings
from tests.helpers.backend import Backend


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True)
def settings_of_this_test() -> None:
    """No test sees the environment of the one before: settings are read once in a process."""
    get_settings.cache_clear()


@pytest.fixture
def without_transformer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packaged networks of the setting `lite`, here and in processes that the test starts: half the time."""
    monkeypatch.setenv("ADCLICK_BACKBONE", "lite")


@pytest.fixture
def make_backend(tmp_path: Path) -> Iterator[Callable[..., Backend]]:
    """Makes backends on one data folder; keyword arguments are settings."""
    made: list[Backend] = []

    def make(**settings: Any) -> Backend:
        made.append(Backend(tmp_path, **settings))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.fixture
def backend(make_backend: Callable[..., Backend]) -> Backend:
    """A backend with the default settings."""
    return make_backend()


@pytest.fixture
def connected(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A backend with project 1, and no network behind it."""
    link = Link("good", "http://127.0.0.1:9 answers to the personal access token of a@b.c.", time.time())
    monkeypatch.setattr(backend.services.links, "look", lambda *_: link)
    backend.setup()
    return backend
