"""Reliability row 9: passwords, on every route, against everything that may stand in the header."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from werkzeug.test import TestResponse

from adclick_backend.web import app
from adclick_backend.web.administrators import is_administrator
from adclick_runtime.serving.attempts import FREE, Attempts
from tests.helpers.backend import CONFIG, Backend, annotation, point, task

USER, PASSWORD = "u", "p w:ü"


def basic(user: str, password: str, charset: str = "utf-8") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode(charset)).decode()}


@pytest.fixture
def guarded(make_backend: Callable[..., Backend]) -> Backend:
    return make_backend(basic_auth_user=USER, basic_auth_pass=PASSWORD)


GARBAGE = [
    None,
    "",
    "Basic",
    "Basic ",
    "Basic !!!",
    "Basic dTpw",  # u:p
    "Basic " + base64.b64encode(b"no colon").decode(),
    "Basic " + base64.b64encode(b":").decode(),
    "Basic " + base64.b64encode(b"u:p w:\xff").decode(),
    "Basic " + base64.b64encode(b"\xff\xfe\x00").decode(),
    "Basic " + "A" * 100_000,
    "Basic dTpw dTpw",
    "Bearer abcdef",
    "Token 0123456789abcdef",
    "Digest username=u",
    "Bäsic dTpw",
    "Basic dTpwIHc6ü",
    "\x00\x01",
    "basic",
]


@pytest.mark.parametrize("header", GARBAGE)
@pytest.mark.parametrize(
    ("method", "route"), [("POST", "/predict"), ("POST", "/setup"), ("GET", "/"), ("GET", "/metrics")]
)
def test_whatever_is_not_the_password_is_refused(
    guarded: Backend, method: str, route: str, header: str | None
) -> None:
    """Reliability row 9: Bearer, garbage, non-ASCII and missing are 401, never 500."""
    environ = {} if header is None else {"HTTP_AUTHORIZATION": header}
    answer = guarded.client.open(route, method=method, json={}, environ_overrides=environ)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
def test_the_password_opens_every_route(guarded: Backend, charset: str) -> None:
    """Reliability row 9: browsers send UTF-8 and Label Studio sends Latin-1."""
    headers = basic(USER, PASSWORD, charset)
    for route in ("/", "/versions", "/metrics", "/static/dashboard.css"):
        assert guarded.client.get(route, headers=headers, buffered=True).status_code == 200
    body = {
        "tasks": [task(guarded.draw("a.png"))],
        "project": "1.1",
        "params": {"context": {"result": [point(1, 1)]}},
    }
    assert guarded.client.post("/predict", json=body, headers=headers).status_code == 200


def test_health_is_open(guarded: Backend) -> None:
    """Reliability row 9: a container's health check carries no password."""
    answer = guarded.client.get("/health")
    assert answer.json == {"status": "UP", "model_class": "ADClickBackend"}


def test_without_a_password_everybody_may_call(backend: Backend) -> None:
    assert backend.client.get("/versions", headers={"Authorization": "Bearer x"}).status_code == 200


def test_a_webhook_about_an_annotation_comes_without_a_password(guarded: Backend) -> None:
    """Label Studio does not send it along; with no API key to read the annotation back, what it adds is believed."""
    url = guarded.draw("a.png")
    data = {"id": 1, "data": {"image": url}}
    config = {"id": 1, "label_config": "<View/>"}
    guarded.client.post("/setup", json={"project": "1.1", "schema": CONFIG}, headers=basic(USER, PASSWORD))
    answer = guarded.webhook("ANNOTATION_CREATED", stranger=True, annotation=annotation(1), task=data)
    assert (answer.status_code, answer.json["result"]) == (201, {"references_changed": True})
    guarded.client.post("/webhook", json={"action": "PROJECT_UPDATED", "project": config})
    assert guarded.services.store.projects.get("1").label_config == CONFIG


def test_training_needs_the_password(guarded: Backend) -> None:
    assert guarded.webhook("START_TRAINING").status_code == 401  # though it carries the secret
    answer = guarded.webhook("START_TRAINING", headers=basic(USER, PASSWORD))
    assert answer.status_code == 201
    assert "waits for its turn" in answer.json["result"]["message"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that attempts are counted by, in a list of one."""
    now = [100.0]
    monkeypatch.setattr(app, "Attempts", lambda: Attempts(lambda: now[0]))
    return now


def ask(backend: Backend, password: str, address: str = "10.0.0.5", route: str = "/versions") -> TestResponse:
    return backend.client.get(
        route, headers=basic(USER, password), environ_overrides={"REMOTE_ADDR": address}
    )


def test_wrong_passwords_are_slowed_down(clock: list[float], guarded: Backend) -> None:
    """Reliability row 9: longer each time, and in words."""
    assert [ask(guarded, "wrong").status_code for _ in range(FREE)] == [401] * FREE
    waits = []
    for _ in range(9):
        answer = ask(guarded, "wrong")
        assert answer.status_code == 429
        assert "Too many wrong passwords came from 10.0.0.5" in answer.json["error"]["message"]
        waits.append(int(answer.headers["Retry-After"]))
        assert ask(guarded, PASSWORD).status_code == 429  # so that nobody learns which one is right
        clock[0] += waits[-1]
        assert ask(guarded, "wrong").status_code == 401
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    clock[0] += 60
    assert ask(guarded, PASSWORD).status_code == 200


def test_wrong_passwords_of_one_address_lock_no_other_out(clock: list[float], guarded: Backend) -> None:
    """Reliability row 9: nor whoever was there before them, behind the same proxy."""
    assert ask(guarded, PASSWORD).status_code == 200
    for _ in range(FREE + 3):
        ask(guarded, "wrong")
    assert ask(guarded, "wrong").status_code == 429
    assert ask(guarded, PASSWORD).status_code == 200
    assert ask(guarded, PASSWORD, "10.0.0.6").status_code == 200


def test_health_is_never_slowed_and_a_missing_password_is_no_wrong_one(
    clock: list[float], guarded: Backend
) -> None:
    """Reliability row 9: browsers ask without one first."""
    for _ in range(3 * FREE):
        assert guarded.client.get("/versions").status_code == 401
    for _ in range(3 * FREE):
        assert ask(guarded, "wrong", route="/health").status_code == 200


def test_a_training_cannot_be_used_to_guess_faster(clock: list[float], guarded: Backend) -> None:
    """Reliability row 9: the route is open, but not for guesses."""
    for _ in range(FREE):
        assert guarded.webhook("START_TRAINING", headers=basic(USER, "wrong")).status_code == 401
    assert guarded.webhook("START_TRAINING", headers=basic(USER, PASSWORD)).status_code == 401
    clock[0] += 1
    assert guarded.webhook("START_TRAINING", headers=basic(USER, PASSWORD)).status_code == 201


@pytest.mark.parametrize(
    ("address", "here"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("localhost", True), ("192.168.1.5", False),
     ("fe80::1%eth0", False), ("", False), (None, False), ("nonsense", False)],
)  # fmt: skip
def test_without_a_password_only_callers_on_this_machine_are_administrators(
    address: str | None, here: bool
) -> None:
    """reliability row 34."""
    assert is_administrator(address, behind_password=False) is here
    assert is_administrator(address, behind_password=True)
