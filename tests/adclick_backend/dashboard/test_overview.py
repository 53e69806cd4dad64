"""The first page of a project: what it says of the set-up, of problems, and how to connect."""

from __future__ import annotations

import re
from html import unescape

import pytest

from adclick_backend.dashboard.overview import is_private
from tests.helpers.backend import CONFIG, Backend, point, task
from tests.helpers.dashboard import page, send


def test_before_anything_is_connected_the_page_says_how(backend: Backend) -> None:
    text = page(backend, "/")
    assert "No project is connected yet" in text
    assert 'value="http://localhost"' in text
    assert "reserved network address" in text
    assert "USE_DEFAULT_BANNED_SUBNETS=false" in text
    assert "<BrushLabels" in text


def test_the_page_shows_the_model_and_the_link(connected: Backend) -> None:
    text = page(connected)
    assert "fake-1" in text
    assert "answers to the personal access token of a@b.c." in text
    assert "The labeling config is ready" in text
    connected.engine.state, connected.engine.failure = "failed", "The weights are damaged."
    assert "The weights are damaged." in page(connected)


def test_a_config_that_lacks_something_is_shown_corrected(connected: Backend) -> None:
    """Reliability row 13: one sentence and the config to paste."""
    connected.setup(config=CONFIG.replace(' smart="false"', ""))
    text = page(connected)
    assert 'needs smart="false"' in text
    corrected = re.search(r'<textarea id="corrected"[^>]*>(.*?)</textarea>', text, re.S)
    assert corrected
    assert connected.setup(config=corrected[1]).json.keys() == {"model_version", "message"}
    assert "corrected" not in page(connected)


def test_each_project_has_its_page(connected: Backend) -> None:
    connected.setup("2.1", config="<View/>")
    connected.services.store.projects.save("2", title="<script>alert(1)</script> & Söhne")
    raw = connected.client.get("/projects/2").text
    assert "<script>alert" not in raw
    assert "<script>alert(1)</script> & Söhne" in unescape(raw)
    assert "There is no <BrushLabels>" not in page(connected, "/projects/1")
    home = connected.client.get("/")
    assert (home.status_code, home.location) == (302, "/projects/2")  # the one heard of last


def test_problems_are_listed_with_task_and_time_and_can_be_cleared(connected: Backend) -> None:
    connected.click(task("ftp://x/a.png", 7), [point(1, 1)])
    connected.click(task("ftp://x/a.png", 7), [point(1, 1)])
    text = page(connected)
    assert "ftp://x/a.png" in text
    assert "task 7 · just now · 2 times" in text
    assert send(connected, "/projects/1/problems/clear").status_code == 303
    assert "ftp://x/a.png" not in page(connected)


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("localhost:9090", True), ("127.0.0.1", True), ("192.168.1.5:9090", True), ("[::1]:9090", True),
        ("adclick:9090", True), ("box.local", True), ("8.8.8.8", False), ("labels.example.com:9090", False),
    ],
)  # fmt: skip
def test_which_addresses_label_studio_refuses(host: str, private: bool) -> None:
    assert is_private(host) is private
