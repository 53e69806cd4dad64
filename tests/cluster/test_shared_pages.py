"""Every page of the dashboard, from a backend that never saw the project: it comes from database and bucket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from adclick_backend.images.connections import Link
from tests.helpers.backend import Backend
from tests.helpers.lived_in import live_in, pages
from tests.helpers.s3 import S3Server

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


def test_another_backend_shows_the_same_pages(
    postgres: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    link = Link("good", "http://127.0.0.1:9 answers.", time.time())
    bucket, made = s3_server.bucket(), []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(Backend(tmp_path / name, database_url=postgres, files_url=bucket))
        monkeypatch.setattr(made[-1].services.links, "look", lambda *_: link)
    one, two = made
    one.setup()
    live_in(one, tmp_path)
    here, there = pages(one), pages(two)
    assert here.keys() == there.keys() and len(here) > 20
    for address in (
        "/projects/1/versions",
        "/projects/1/generated",
        "/projects/1/references",
        "/projects/1/reports",
    ):
        assert there[address].count("<img") == here[address].count("<img"), address
    assert one.services.registry.serving_name("1") == two.services.registry.serving_name("1")
    for when in ("never", "always"):
        one.services.registry.propose_when("1", when)
        page = two.client.get("/projects/1/versions").get_data(as_text=True)
        assert f'value="{when}" selected' in page
    kept = [path for path in (tmp_path / "two" / "data" / "projects").rglob("*") if path.is_file()]
    assert all(path.parent.name in ("cache", "gallery", "thumbnails") for path in kept), kept
    for backend in made:
        backend.services.stop()
