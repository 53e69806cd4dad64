"""Broken requests: answered with a sentence that names the field, never with the inside of the program."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adclick_backend import logs
from adclick_backend.logs import LineFormatter, new_request_id, redact, request_id
from adclick_backend.settings import Settings
from adclick_backend.web.server import greeting, secrets_of
from tests.helpers.backend import CONFIG, Backend, annotation, point, task
from tests.helpers.dashboard import send

PREDICT = {
    "tasks": [{"id": 1, "data": {"image": "/data/local-files/?d=a.png"}}],
    "project": "1.1",
    "label_config": CONFIG,
    "params": {"login": None, "password": None, "context": None},
}
SETUP = {
    "project": "1.1",
    "schema": CONFIG,
    "hostname": "http://127.0.0.1:9",
    "access_token": "0123456789",
    "extra_params": {"a": 1},
}
WEBHOOK = {
    "action": "ANNOTATION_CREATED",
    "annotation": annotation(1),
    "project": {"id": 1, "title": "Screws", "label_config": CONFIG},
    "task": {"id": 1, "data": {"image": "/data/local-files/?d=a.png"}},
}
BODIES = {"/predict": PREDICT, "/setup": SETUP, "/webhook": WEBHOOK}


def changed(body: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """A copy of `body` with another value at a dotted path; a missing field when the value is ``...``."""
    copy: Any = deepcopy(body)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    inner = copy
    for part in parents:
        inner = inner[part]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return copy


@pytest.mark.parametrize(
    ("route", "field", "value"),
    [
        *(("/predict", "tasks", value) for value in (None, "x", 7, {}, [None], ...)),
        *(("/predict", "tasks.0.data", value) for value in (None, [], "x", ...)),
        *(("/predict", "tasks.0.id", value) for value in ("1", -1, 2**63, 1.5, [], True)),
        *(("/predict", "project", value) for value in ("../x", "", 1.5, [], "1 or 1")),
        *(("/predict", "label_config", value) for value in (7, [], {})),
        *(("/predict", "params", value) for value in ("x", [], 7)),
        *(("/predict", "params.context", value) for value in ("x", [], 7, True)),
        *(("/setup", "project", value) for value in (None, "../x", [], {}, ...)),
        *(("/setup", "schema", value) for value in (None, 7, [], {})),
        *(("/setup", "hostname", value) for value in (7, [], {})),
        *(("/setup", "access_token", value) for value in (7, [], {})),
        *(("/setup", "extra_params", value) for value in (7, [])),
        *(("/webhook", "action", value) for value in (None, 7, [], ...)),
        *(("/webhook", "project", value) for value in (None, 7, "x", ...)),
        *(("/webhook", "project.id", value) for value in (None, "../x", -1, [], ...)),
        *(("/webhook", "annotation", value) for value in (None, [], "x", ...)),
        *(("/webhook", "annotation.id", value) for value in (None, "1", -1, ...)),
        *(("/webhook", "annotation.result", value) for value in (None, {}, "x", [7])),
        *(("/webhook", "task.data", value) for value in (None, [], ...)),
    ],
)
def test_a_wrong_field_is_named(backend: Backend, route: str, field: str, value: object) -> None:
    """Reliability row 11: null and wrong types in each field give 400 and the field."""
    answer = backend.client.post(route, json=changed(BODIES[route], field, value))
    assert answer.status_code == 400
    error = answer.json["error"]
    assert error["field"].startswith(field)
    assert error["code"] == "bad_request"
    assert error["request_id"] == answer.headers["X-Request-ID"]
    if "project" not in field:
        assert field in error["message"]


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b'{"project": "\\ud800"}', "not JSON"),
        (b'{"project": "\xed\xa0\x80"}', "not JSON"),
        (b"null", "must be a JSON object, not null"),
        (b"[]", "must be a JSON object, not a list"),
        (b'"x"', "must be a JSON object, not text"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_a_body_that_is_no_object_is_refused(backend: Backend, route: str, data: bytes, said: str) -> None:
    """Reliability row 11."""
    answer = backend.client.post(route, data=data, content_type="application/json")
    assert answer.status_code == 400
    assert said in answer.json["error"]["message"]


@pytest.mark.parametrize("route", BODIES)
def test_only_declared_json_is_read(backend: Backend, route: str) -> None:
    """A page elsewhere can make a browser post text/plain, but not application/json."""
    answer = backend.client.post(route, data=json.dumps(BODIES[route]), content_type="text/plain")
    assert answer.status_code == 415


def test_a_body_over_the_limit_is_refused_unread(make_backend: Callable[..., Backend]) -> None:
    """Reliability row 11: MAX_CONTENT_LENGTH."""
    backend = make_backend(max_body_mb=1)
    answer = backend.client.post("/predict", data=b" " * (2**20 + 1), content_type="application/json")
    assert answer.status_code == 413
    assert "ADCLICK_MAX_BODY_MB" in answer.json["error"]["message"]
    (problem,) = backend.services.store.problems.latest("1")
    assert "larger than 1 MB" in problem.sentence


def test_a_body_of_many_small_files_is_read(connected: Backend) -> None:
    """Reliability row 11: a folder of references."""
    images = [(io.BytesIO(b"x"), f"{number}.png") for number in range(1001)]
    assert send(connected, "/projects/1/references", images=images).status_code in (302, 303)


def test_a_form_with_too_many_parts_is_called_that(
    connected: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 11: and not larger than what it is smaller than."""
    monkeypatch.setitem(connected.app.config, "MAX_FORM_PARTS", 10)
    answer = send(connected, "/projects/1/references", **{f"field-{number}": "x" for number in range(20)})
    assert answer.status_code == 413
    assert "more than 10 files and fields" in answer.get_data(as_text=True)
    (problem,) = connected.services.store.problems.latest("1")
    assert "more than 10 files and fields" in problem.sentence
    assert "larger than" not in problem.sentence


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
PATHS = {
    "/predict": [
        "tasks", "tasks.0", "tasks.0.id", "tasks.0.data", "tasks.0.data.image", "project", "label_config",
        "params", "params.context", "params.context.result", "params.context.result.0",
        "params.context.result.0.value", "params.context.result.0.value.x", "params.context.result.0.id",
        "params.context.result.0.original_width", "params.context.result.0.value.keypointlabels",
    ],
    "/setup": list(SETUP),
    "/webhook": ["action", "annotation", "annotation.id", "annotation.result", "annotation.result.0",
                 "annotation.result.0.value", "annotation.updated_at", "project", "project.id", "task", "task.data",
                 "task.data.image"],
}  # fmt: skip


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from([(route, path) for route in PATHS for path in PATHS[route]]), json_values)
def test_no_value_anywhere_breaks_the_server(backend: Backend, where: tuple[str, str], value: object) -> None:
    """Reliability row 11: fuzzed fields; and a click is answered with a result, or refused as malformed."""
    route, path = where
    backend.draw("a.png", [(20, 20, 250)])
    body = deepcopy(BODIES[route])
    if route == "/predict":
        body["params"] = {"context": {"result": [point(20, 20)]}}
    answer = backend.client.post(route, json=changed(body, path, value))
    assert answer.status_code in (200, 201, 400), answer.text
    if (
        route == "/predict"
        and answer.status_code == 200
        and path not in ("tasks", "params", "params.context")
    ):
        assert [set(prediction) >= {"result", "score"} for prediction in answer.json["results"]] == [True]


def test_a_crash_shows_nothing_of_the_inside(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Reliability row 10: a code, a short text and the request id; the traceback is only in the log."""
    secret = "/srv/secret/place token=0123456789abcdef"

    def crash(*_: object, **__: object) -> None:
        raise RuntimeError(secret)

    monkeypatch.setattr(backend.services.store.projects, "save", crash)
    with caplog.at_level(logging.ERROR):
        answer = backend.client.post("/setup", json=SETUP, headers={"X-Request-ID": "trace-7"})
    assert answer.status_code == 500
    assert answer.json == {
        "error": {
            "code": "internal",
            "message": "Something went wrong inside the backend; its log says what.",
            "request_id": "trace-7",
        }
    }
    assert secret in caplog.text
    for leak in ("Traceback", "/srv", "token", "RuntimeError"):
        assert leak not in answer.text


def test_a_crash_behind_a_click_shows_nothing_either(backend: Backend) -> None:
    """Reliability row 10: neither to Label Studio nor on the status page."""
    backend.engine.error = RuntimeError("/srv/secret/place")
    answer = backend.click(task(backend.draw("a.png")), [point(20, 20)])
    assert answer.json == {"results": [{"result": [], "score": 0}]}
    assert "/srv" not in backend.client.get("/projects/1").text


@pytest.mark.parametrize(("method", "route", "status"), [("GET", "/nowhere", 404), ("GET", "/predict", 405)])
def test_wrong_addresses_and_methods_are_answered_as_errors(
    backend: Backend, method: str, route: str, status: int
) -> None:
    answer = backend.client.open(route, method=method)
    assert answer.status_code == status
    assert answer.json["error"]["request_id"]
    assert ("Allow" in answer.headers) == (status == 405)


def test_a_request_id_is_taken_over_only_when_it_is_fit_for_a_log_line() -> None:
    assert new_request_id("proxy-1.a_b") == "proxy-1.a_b"
    for unfit in (None, "", "a b", "x\nERROR forged", "x" * 65):
        assert new_request_id(unfit) not in (unfit, "")


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("Authorization: Basic dTpwIHcadadsf=", "Authorization: Basic ***"),
        ("sent Token 0123456789abcdef0123456789abcdef01234567 to x", "sent Token *** to x"),
        (
            '{"access_token": "abc123", "hostname": "http://x"}',
            '{"access_token": "***", "hostname": "http://x"}',
        ),
        ("GET /x?token=abc&y=1", "GET /x?token=***&y=1"),
        ("the password hunter22 was wrong", "the password *** was wrong"),
        ("at http://ada:s3cret@host:8080/x", "at http://***@host:8080/x"),
    ],
)
def test_secrets_are_kept_out_of_the_log(line: str, kept: str) -> None:
    """Reliability row 10: secrets redacted."""
    assert redact(line, ["hunter22"]) == kept


def test_log_lines_carry_the_request_id() -> None:
    args = ("hunter22\nERROR forged",)
    record = logging.LogRecord("adclick_backend.web.app", logging.INFO, "", 1, "with %s", args, None)
    token = request_id.set("abc")
    try:
        line = LineFormatter(["hunter22"]).format(record)
    finally:
        request_id.reset(token)
    assert line.endswith("INFO adclick_backend.web.app [abc] with ***\\nERROR forged")


CONTROL = "\x1b[2J\r\x00\x7f\x9b31m\u2028\u202e"
"""Clears a terminal, rings its bell, begins a line, turns the direction of writing round."""


def test_no_control_character_reaches_the_log_raw() -> None:
    """Reliability row 10: what a client sent is shown, and does nothing."""
    try:
        raise ValueError(f"no {CONTROL}\n2026-11-23 09:10:18 INFO forged")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "", 1, "GET /%s", (CONTROL,), sys.exc_info())
    lines = LineFormatter().format(record).split("\n")
    assert all(line.isprintable() for line in lines)
    assert "GET /\\x1b[2J\\r\\x00\\x7f\\x9b31m\\u2028\\u202e" in lines[0]
    assert all(line.startswith("  ") for line in lines[1:])


def test_a_password_in_an_address_is_shown_nowhere(make_backend: Callable[..., Backend]) -> None:
    """Reliability row 10: neither in the log nor on the dashboard nor in a sentence."""
    url = "http://ada:s3cret@127.0.0.1:9"
    backend = make_backend(label_studio_url=url, label_studio_api_key="f" * 40)
    backend.setup(hostname=url)
    backend.click(task("/data/upload/1/a.png"), [point(8, 8)])
    backend.click(task(f"{url}/a.png"), [point(8, 8)])
    backend.click(task("http://ada:s3cret@\n127.0.0.1:9/a.png"), [point(8, 8)])
    backend.services.links.PATIENCE_S = 10  # type: ignore[misc]
    link = backend.services.links.look("1").sentence
    assert link.startswith("LABEL_STUDIO_URL carries a user name or a password, which are not used")
    pages = [backend.client.get(path).get_data(as_text=True) for path in ("/", "/projects/1/references")]
    said = [problem.sentence for problem in backend.services.store.problems.latest("1")]
    shown = "".join([*pages, *said, link, greeting(backend.settings), repr(backend.settings)])
    assert len(said) >= 3
    assert "s3cret" not in shown
    assert "s3cret" not in str(backend.services.store.projects.get("1"))


def logged(message: str, backend: Backend) -> str:
    """The log line of a process that runs this backend."""
    record = logging.LogRecord("adclick_backend", logging.INFO, "", 1, message, (), None)
    return LineFormatter(secrets_of(backend.settings)).format(record)


TOKEN = "f00dfacef00dfacef00dfacef00dfacef00dface"


@pytest.fixture
def nothing_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has heard of no token yet."""
    monkeypatch.setattr(logs, "_hidden", ())


def test_every_secret_of_the_settings_is_kept_out_of_the_log(make_backend: Callable[..., Backend]) -> None:
    """Reliability row 10: password, API key and the language model's key."""
    secrets = {"basic_auth_pass": "pass-one", "label_studio_api_key": "key-two", "llm_key": "sk-three"}
    backend = make_backend(**secrets)
    line = logged(f"answered {' '.join(secrets.values())}", backend)
    assert line.endswith("answered *** *** ***")
    assert not any(secret in repr(Settings(**secrets)) for secret in secrets.values())  # type: ignore[arg-type]


@pytest.mark.usefixtures("nothing_hidden")
def test_the_token_of_a_project_is_kept_out_of_the_log_from_its_arrival_on(backend: Backend) -> None:
    """Reliability row 10"""
    assert TOKEN in logged(f"sent {TOKEN}", backend)
    assert backend.setup(access_token=f"{TOKEN}\n").status_code == 200
    assert logged(f"sent {TOKEN} to x", backend).endswith("sent *** to x")
    assert backend.setup(access_token="another-token").status_code == 200
    assert logged(f"{TOKEN} is now another-token", backend).endswith("*** is now ***")


def test_a_token_that_was_stored_before_the_start_is_kept_out_of_the_log(
    make_backend: Callable[..., Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reliability row 10: a job's process and the second worker never saw the /setup."""
    make_backend().setup(access_token=TOKEN)
    monkeypatch.setattr(logs, "_hidden", ())
    assert logged(f"sent {TOKEN}", make_backend()).endswith("sent ***")


@pytest.mark.usefixtures("nothing_hidden")
def test_ever_new_tokens_do_not_slow_the_log_down() -> None:
    for number in range(1100):
        logs.hide(f"token-{number}")
    logs.hide("token-1099")
    assert len(logs._hidden) == 1000
    assert {"token-100", "token-1099"} <= set(logs._hidden)


@pytest.mark.usefixtures("nothing_hidden")
def test_what_is_too_short_to_be_a_token_does_not_blank_the_log() -> None:
    for word in ("", " ", "abc"):
        logs.hide(word)
    assert logs._hidden == ()


def test_a_secret_that_holds_another_is_replaced_whole() -> None:
    assert redact("with hunter22-long", ["hunter22", "hunter22-long"]) == "with ***"
