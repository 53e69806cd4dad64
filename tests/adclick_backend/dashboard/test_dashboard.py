"""What all pages of the dashboard share: navigation, who may send forms, nothing from elsewhere."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from io import BytesIO

import pytest

from adclick_backend.dashboard.pages import TABS
from adclick_backend.dashboard.words import ago
from adclick_backend.images.connections import Link
from tests.helpers.backend import Backend
from tests.helpers.dashboard import form_token, page, png, send


def routes(project: str = "1") -> list[str]:
    """Every page of a project."""
    return [f"/projects/{project}"] + [f"/projects/{project}/{tab}" for tab, _ in TABS[1:]]


def test_every_page_leads_to_all_others_and_says_which_it_is(connected: Backend) -> None:
    for route in routes():
        text = page(connected, route)
        tabs = re.search(r'<nav class="tabs".*?</nav>', text, re.S)
        assert tabs
        links = re.findall(r'<a href="([^"]+)"( aria-current="page")?', tabs[0])
        assert [link for link, _ in links] == routes()
        assert [link for link, current in links if current] == [route]
        assert '<a class="skip" href="#main">' in text
        assert len(re.findall("<h1>", text)) == 1


def test_a_project_that_was_never_heard_of_has_no_page(connected: Backend) -> None:
    for unknown in ("99", "x", "1.2.3"):
        for route in routes(unknown):
            assert connected.client.get(route).status_code == 404


# --- forms from elsewhere

FORMS = [
    "/projects/1/references",
    "/projects/1/references/1/remove",
    "/projects/1/references/1/retry",
    "/projects/1/problems/clear",
    "/projects/1/labels/sync",
    "/projects/1/training",
    "/projects/1/training/1/cancel",
    "/projects/1/trial",
    "/projects/1/reports",
    "/projects/1/normal",
    "/projects/1/normal/forget",
    "/projects/1/remove",
    "/projects/1/notices",
    "/projects/1/notices/stop",
    "/projects/1/notices/try",
    "/projects/1/prompts",
    "/projects/1/prompts/take-out",
    "/projects/1/prompts/use-again",
    "/projects/1/prompts/built-in",
    "/projects/1/prompts/write",
    "/projects/1/versions/v1/activate",
    "/projects/1/versions/roll-back",
    "/projects/1/versions/forward",
    "/projects/1/versions/v1/delete",
    "/projects/1/versions/v1/bring-back",
    "/projects/1/reports/v1/remove",
    "/projects/1/reports/removed/1-v1/put-back",
]


@pytest.mark.parametrize("route", FORMS)
@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("", {}),
        ("guess", {}),
        ("ä", {}),
        ("right", {"Sec-Fetch-Site": "cross-site"}),
        ("right", {"Sec-Fetch-Site": "same-site"}),
    ],
)
def test_a_form_from_another_page_is_refused(
    connected: Backend, route: str, token: str, headers: dict[str, str]
) -> None:
    reference = connected.services.references.add("1", png(), source="upload", name="a.png")
    connected.services.report("1", "still here")
    sent = form_token(connected) if token == "right" else token
    images = [(BytesIO(png(7)), "foreign.png")]
    answer = send(connected, route, headers, form_token=sent, images=images)
    assert answer.status_code == 403
    assert connected.services.store.references.of_project("1") == [reference]
    assert len(connected.services.store.problems.latest("1")) == 1
    assert connected.services.jobs.of_project("1") == []


def test_every_page_and_form_asks_for_the_password(make_backend: Callable[..., Backend]) -> None:
    guarded = make_backend(basic_auth_user="ada", basic_auth_pass="secret")
    for route in ("/", "/projects", *routes()):
        assert guarded.client.get(route).status_code == 401
    for route in FORMS:
        token = guarded.services.store.values.get_or_add("", "form_token", "x")
        assert guarded.client.post(route, data={"form_token": token}).status_code == 401


def test_the_form_token_is_the_same_for_every_worker(
    connected: Backend, make_backend: Callable[..., Backend]
) -> None:
    other = make_backend()
    other.services.links.look = lambda *_: Link("unknown", "")  # type: ignore[method-assign]
    assert form_token(other) == form_token(connected)
    assert len(form_token(other)) >= 32


def test_nothing_is_loaded_from_elsewhere_and_nobody_may_frame_the_page(connected: Backend) -> None:
    for route in routes():
        answer = connected.client.get(route)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        loaded = re.findall(r'(?:src|href)="([^"]+\.(?:css|js|svg|png|jpg))"', answer.text)
        assert len(loaded) >= 3
        for address in loaded:
            assert address.startswith("/")
            assert connected.client.get(address, buffered=True).status_code == 200
        assert not re.search(r"<script(?![^>]*src=)|<style|<[a-z][^>]* (style|on[a-z]+)=", answer.text)


def test_errors_of_the_dashboard_are_pages(connected: Backend) -> None:
    answer = connected.client.get("/projects/99")
    assert answer.content_type.startswith("text/html")
    assert answer.headers["X-Request-ID"] in answer.text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "just now"), (61, "1 minute ago"), (7300, "2 hours ago"), (200000, "2 days ago")],
)
def test_moments_are_said_as_people_say_them(seconds: int, words: str) -> None:
    assert ago(time.time() - seconds) == words
