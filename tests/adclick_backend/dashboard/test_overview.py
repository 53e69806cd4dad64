"""The first page of a project: what it says of the set-up, of problems, and how to connect."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape

import pytest

from adclick_backend.config.labeling_config import parse_labeling_config
from adclick_backend.config.layout import former_config, recommended_config
from adclick_backend.dashboard.overview import is_private
from tests.helpers.backend import CONFIG, Backend, point, task
from tests.helpers.dashboard import page, send
from tests.helpers.fake_label_studio import LEGACY_TOKEN, FakeLabelStudio


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
    assert 'id="corrected"' not in page(connected)


def test_the_page_says_how_to_label(connected: Backend) -> None:
    text = " ".join(page(connected).split())
    assert "Keep label selected after creating a region" in text
    assert "the dark pill under a mask (tick and cross) catches clicks" in text


UNCLICKABLE = CONFIG.replace(' smart="false"', "")


@pytest.fixture
def label_studio() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as fake:
        fake.configs[1] = UNCLICKABLE
        yield fake


@pytest.fixture
def linked(make_backend: Callable[..., Backend], label_studio: FakeLabelStudio) -> Backend:
    """A backend that reaches a Label Studio whose project 1 needs a change."""
    backend = make_backend(label_studio_url=label_studio.url, label_studio_api_key=LEGACY_TOKEN)
    backend.setup(config=UNCLICKABLE)
    return backend


def fingerprint(backend: Backend) -> str:
    found = re.search(r'name="fingerprint" value="([0-9a-f]+)"', page(backend))
    assert found
    return found[1]


def test_the_correction_is_listed_and_written_at_the_press_of_a_button(
    linked: Backend, label_studio: FakeLabelStudio
) -> None:
    text = page(linked)
    assert '<BrushLabels> "brush" gets smart="false".' in text
    assert '-  <BrushLabels name="brush" toName="image">' in text
    answer = send(linked, "/projects/1/labeling-config", fingerprint=fingerprint(linked))
    assert answer.status_code == 303
    assert parse_labeling_config(label_studio.configs[1]).problems == ()
    text = page(linked)
    assert "The corrected labeling config is in Label Studio now." in text
    assert "The labeling config is ready" in text


def test_a_former_config_is_ready_and_gets_todays_layout_at_the_press_of_a_button(
    linked: Backend, label_studio: FakeLabelStudio
) -> None:
    label_studio.configs[1] = former_config(["dent"])
    linked.setup(config=former_config(["dent"]))
    text = page(linked)
    assert "The labeling config is ready" in text and "The labels come above the image" in text
    send(linked, "/projects/1/labeling-config", fingerprint=fingerprint(linked))
    assert label_studio.configs[1] == recommended_config(["dent"])
    assert "The labels come above the image" not in page(linked)


def test_a_config_that_changed_meanwhile_is_not_overwritten(
    linked: Backend, label_studio: FakeLabelStudio
) -> None:
    seen = fingerprint(linked)
    label_studio.configs[1] = UNCLICKABLE.replace("dent", "stain")
    send(linked, "/projects/1/labeling-config", fingerprint=seen)
    assert label_studio.configs[1] == UNCLICKABLE.replace("dent", "stain")
    text = page(linked)
    assert "changed meanwhile and nothing was written" in text and "stain" in text
    send(linked, "/projects/1/labeling-config", fingerprint=seen)
    assert label_studio.configs[1] == UNCLICKABLE.replace("dent", "stain")


def test_nothing_is_written_for_a_form_of_another_page(
    linked: Backend, label_studio: FakeLabelStudio
) -> None:
    sent = {"fingerprint": fingerprint(linked)}
    assert send(linked, "/projects/1/labeling-config", form_token="guess", **sent).status_code == 403
    assert label_studio.configs[1] == UNCLICKABLE


def test_a_label_studio_that_refuses_the_correction_is_quoted(
    linked: Backend, label_studio: FakeLabelStudio
) -> None:
    seen = fingerprint(linked)
    label_studio.legacy_enabled = False
    send(linked, "/projects/1/labeling-config", fingerprint=seen)
    assert "The labeling config was not changed." in page(linked)


def test_all_images_are_prepared_at_the_press_of_a_button(connected: Backend) -> None:
    text = page(connected)
    assert "An image takes about 7 MB on disk, and about 571 fit" in text
    assert send(connected, "/projects/1/prepare-images").headers["Location"].endswith("/projects/1/training")
    (job,) = connected.services.jobs.of_project("1")
    assert (job.kind, job.state, job.trigger) == ("prepare", "queued", "the dashboard")
    assert "All images prepared" in connected.client.get("/projects/1/training").text


def test_labels_that_mark_all_that_is_alike_are_added_at_the_press_of_a_button(
    linked: Backend, label_studio: FakeLabelStudio
) -> None:
    assert "One click, all alike" not in page(linked)  # no click is answered yet
    send(linked, "/projects/1/labeling-config", fingerprint=fingerprint(linked))
    assert "Add labels that mark all as one region" in page(linked)
    assert send(linked, "/projects/1/all-alike", regions="some").status_code == 400
    assert send(linked, "/projects/1/all-alike", regions="each").status_code == 303
    assert "scratch (each)" in parse_labeling_config(label_studio.configs[1]).main.click_labels
    text = page(linked)
    assert "Add labels that mark all" not in text
    assert 'gets the labels "scratch (each)"' in text and "loads its page again" in text


def test_each_project_has_its_page(connected: Backend) -> None:
    connected.setup("2.1", config="<View/>")
    connected.services.store.projects.save("2", title="<script>alert(1)</script> & Söhne")
    raw = connected.client.get("/projects/2").text
    assert "<script>alert" not in raw
    assert "<script>alert(1)</script> & Söhne" in unescape(raw)
    assert "There is no <BrushLabels>" not in page(connected, "/projects/1")


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
