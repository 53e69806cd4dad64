"""What a form has done is said to the person who sent it, on the page that it led to, whichever worker answers."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from adclick_backend.dashboard.notices import COOKIE, SHOWN_S
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, png, send

SAID = "Rolled back: the packaged network serves now."


@pytest.fixture
def rolled_back(connected: Backend) -> Backend:
    connected.serve_version("1")
    assert send(connected, "/projects/1/versions/roll-back").status_code == 303
    return connected


def test_it_is_said_to_the_person_who_did_it_on_that_page_alone(rolled_back: Backend) -> None:
    assert SAID not in page(rolled_back, "/projects/1/labels")
    assert SAID not in page(rolled_back, "/projects/1")
    assert SAID in page(rolled_back, "/projects/1/versions")
    assert SAID in page(rolled_back, "/projects/1/versions")  # it loads itself again
    other = rolled_back.app.test_client()
    assert SAID not in other.get("/projects/1/versions").text


def test_another_worker_can_say_it(rolled_back: Backend, make_backend: Callable[..., Backend]) -> None:
    worker = make_backend()
    cookie = rolled_back.client.get_cookie(COOKIE)
    assert cookie is not None
    worker.client.set_cookie(COOKIE, cookie.value)
    assert SAID in worker.client.get("/projects/1/versions").text


def test_it_is_not_said_for_ever_and_cannot_be_made_up(
    rolled_back: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = rolled_back.client.get_cookie(COOKIE)
    assert cookie is not None and cookie.max_age == SHOWN_S
    rolled_back.client.set_cookie(COOKIE, f"X{cookie.value[1:]}")
    assert SAID not in page(rolled_back, "/projects/1/versions")
    rolled_back.client.set_cookie(COOKIE, cookie.value)
    assert SAID in page(rolled_back, "/projects/1/versions")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + SHOWN_S + 2)
    assert SAID not in page(rolled_back, "/projects/1/versions")


def test_what_was_done_can_be_taken_back_beside_it(connected: Backend) -> None:
    reference = connected.services.references.add("1", png(), source="upload", name="a.png")
    connected.work()
    send(connected, f"/projects/1/references/{reference.id}/remove")
    text = page(connected, "/projects/1/references")
    assert 'action="/projects/1/references/1/put-back"' in text.split("</h1>")[0]
    send(connected, "/projects/1/references/1/put-back")
    assert "The reference is back." in page(connected, "/projects/1/references")
