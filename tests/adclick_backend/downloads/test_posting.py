"""Posting to an address that a person named: within limits, to checked addresses, without following anything."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from adclick_backend.downloads import posting
from adclick_backend.downloads.posting import PostError, checked_address, post_json
from tests.helpers.local_server import LocalServer, Reply, Request


def test_json_arrives() -> None:
    with LocalServer(lambda request: Reply(204)) as server:
        post_json(f"{server.url}/hooks/abc?x=1", {"text": "Schön", "job": 7})
        (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/hooks/abc?x=1")
    assert json.loads(request.body) == {"text": "Schön", "job": 7}
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] is None


@pytest.mark.parametrize("status", [400, 404, 500])
def test_a_refusal_is_said_without_the_secret_in_the_address(status: int) -> None:
    with (
        LocalServer(lambda request: Reply(status, b"internal words")) as server,
        pytest.raises(PostError) as refused,
    ):
        post_json(f"{server.url}/hooks/secret?key=secret", {})
    assert str(refused.value).startswith(f"{server.url} answered {status}")
    assert "secret" not in str(refused.value)
    assert "internal words" not in str(refused.value)


def test_a_redirect_is_not_followed() -> None:
    """Reliability row 1."""

    def answer(request: Request) -> Reply:
        return Reply.redirect("/elsewhere") if request.path == "/hook" else Reply(200)

    with LocalServer(answer) as server:
        with pytest.raises(PostError, match="answered 302"):
            post_json(f"{server.url}/hook", {})
        assert [request.path for request in server.requests] == ["/hook"]


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0", "::ffff:169.254.169.254", "::"]
)
def test_metadata_services_and_the_like_are_never_asked(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    looked_up: list[Any] = [(family, socket.SOCK_STREAM, 6, "", (address, 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: looked_up)

    def connects(*_: object, **__: object) -> None:
        raise AssertionError("it is connected to")

    monkeypatch.setattr(socket, "create_connection", connects)
    with pytest.raises(PostError, match="leads to an address that nothing is posted to"):
        post_json("http://innocent.example.com/hook", {})


@pytest.mark.parametrize(
    "url",
    [
        *("", "chat.example.com/hook", "ftp://chat.example.com/", "file:///etc/passwd", "http:///x"),
        *("http://user:pass@chat.example.com/", "http://chat.example.com\\@evil.example.com/", " http://x/"),
        "http://chat.example.com/" + "x" * 3000,
    ],
)
def test_what_is_no_plain_web_address_is_refused(url: str) -> None:
    with pytest.raises(PostError, match="That is no address that can be posted to"):
        checked_address(url)


def test_who_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "WHOLE_S", 0.3)

    def slow(request: Request) -> Reply:
        time.sleep(1.0)
        return Reply(200)

    started = time.monotonic()
    with LocalServer(slow) as server:
        with pytest.raises(PostError, match="did not answer within"):
            post_json(f"{server.url}/hook", {})
        assert time.monotonic() - started < 0.9


def test_who_is_not_there_is_said() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(PostError, match=f"http://127.0.0.1:{port} cannot be reached"):
        post_json(f"http://127.0.0.1:{port}/hook", {})
