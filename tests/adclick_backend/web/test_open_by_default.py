"""What somebody who may not gets to see and to change, and which Label Studio is believed to be ours."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator

import pytest

from adclick_backend.label_studio.instance import LabelStudioError
from tests.helpers.backend import Backend, point, task
from tests.helpers.dashboard import page, send
from tests.helpers.local_server import LocalServer, Reply

TASK = task("/data/upload/1/a.png")
PASSWORD = {"basic_auth_user": "u", "basic_auth_pass": "p"}
STRANGER = {"REMOTE_ADDR": "192.168.1.66"}


@pytest.fixture
def internal() -> Iterator[LocalServer]:
    """A server that only machines of this network reach."""
    with LocalServer(lambda request: Reply(body=b"internal: root password is hunter2")) as server:
        yield server


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/projects/1"])
def test_a_page_that_poses_as_this_backend_reads_nothing(connected: Backend, path: str) -> None:
    """reliability row 34: DNS rebinding."""
    answer = connected.client.get(path, headers={"Host": "rebound.evil.example"})
    assert answer.status_code == 421
    assert "Screws" not in answer.text


def test_nothing_is_fetched_from_an_address_that_nobody_confirmed(
    backend: Backend, internal: LocalServer
) -> None:
    """reliability row 34: whoever reaches /setup can name any address of this network."""
    backend.setup(hostname=internal.url, access_token="0123456789abcdef")
    clicked = backend.click(TASK, [point(10, 10)]).get_json()["results"][0]
    backend.open_tasks([TASK])
    assert (clicked["result"], internal.requests) == ([], [])
    shown = page(backend)
    assert f"connected from {internal.url}, and nobody has confirmed yet" in shown


@pytest.mark.parametrize("way", ["dashboard", "connect"])
def test_an_address_that_was_confirmed_is_fetched_from(
    backend: Backend, internal: LocalServer, way: str
) -> None:
    backend.setup(hostname=internal.url)
    if way == "dashboard":
        said = send(backend, "/projects/1/confirm", hostname=internal.url)
        assert said.status_code == 303
    else:
        assert backend.client.post("/confirm", json={"project": 1}).get_json() == {
            "label_studio": internal.url
        }
    backend.click(TASK, [point(10, 10)])
    assert any(request.path == "/data/upload/1/a.png" for request in internal.requests)
    shown = page(backend)
    assert "Confirm http" not in shown
    assert "is not an image of a known kind" in shown
    assert "internal" not in shown and "hunter2" not in shown, "bytes of an answer are shown"


@pytest.mark.parametrize("way", ["dashboard", "connect"])
def test_a_stranger_cannot_confirm(backend: Backend, internal: LocalServer, way: str) -> None:
    backend.setup(hostname=internal.url)
    if way == "dashboard":
        said = send(backend, "/projects/1/confirm", hostname=internal.url, environ=STRANGER)
    else:
        said = backend.client.post("/confirm", json={"project": 1}, environ_base=STRANGER)
    assert said.status_code == 403
    assert "counts only from the machine that the backend runs on" in said.text
    backend.click(TASK, [point(10, 10)])
    assert internal.requests == []


def test_what_is_confirmed_is_what_was_looked_at(backend: Backend, internal: LocalServer) -> None:
    backend.setup(hostname=internal.url)
    send(backend, "/projects/1/confirm", hostname="http://our-label-studio:8080")
    assert "connected again meanwhile" in page(backend)
    backend.click(TASK, [point(10, 10)])
    assert internal.requests == []


def test_another_address_needs_a_confirmation_of_its_own(backend: Backend, internal: LocalServer) -> None:
    backend.setup(hostname="http://our-label-studio:8080")
    send(backend, "/projects/1/confirm", hostname="http://our-label-studio:8080")
    backend.setup(hostname=internal.url)
    backend.click(TASK, [point(10, 10)])
    assert internal.requests == []


def test_whoever_connects_with_the_password_needs_no_confirmation(
    make_backend: Callable[..., Backend], internal: LocalServer
) -> None:
    backend = make_backend(**PASSWORD)
    headers = {"Authorization": "Basic " + b64encode(b"u:p").decode()}
    body = {"project": "1.1", "schema": "<View/>", "hostname": internal.url, "access_token": ""}
    assert backend.client.post("/setup", json=body, headers=headers, environ_base=STRANGER).status_code == 200
    assert backend.services.connections.unconfirmed("1") == ""
    with pytest.raises(LabelStudioError, match="something else than JSON"):
        backend.services.connections.label_studio("1").get("/api/projects/1")
    assert [request.path for request in internal.requests] == ["/api/projects/1"]
