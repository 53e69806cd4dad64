from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from adclick_backend.cli import main
from adclick_backend.commands.connect_advice import explain
from adclick_backend.config.labeling_config import recommended_config

BACKEND = "http://backend.test:9090"
LEGACY_TOKEN = "0123456789abcdef0123456789abcdef01234567"
# Verbatim from Label Studio 1.23.2.
PRIVATE = "URL resolves to a reserved network address (block: 127.0.0.0/8)"
REFUSED = (
    "Can't connect to ML backend http://localhost:9198, health check failed. Make sure it is up and your "
    'firewall is properly configured. <a href="https://labelstud.io/guide/ml.html">Learn more</a> about how '
    "to set up an ML backend. Additional info: _SsrfGuardedHTTPConnectionPool(host='localhost', port=9198): "
    'Max retries exceeded with url: /health (Caused by NewConnectionError("_SsrfGuardedHTTPConnection(host='
    "'localhost', port=9198): Failed to establish a new connection: [Errno 111] Connection refused\"))"
)
WRONG_PASSWORD = (
    "Able to connect to ML Server, but authentication parameters were either not provided or are incorrect."
)


class FakeLabelStudio:
    """The part of Label Studio's API that connecting uses, with switches for what can go wrong."""

    def __init__(self) -> None:
        self.projects: list[dict[str, Any]] = []
        self.models: list[dict[str, Any]] = []
        self.webhooks: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = [{"id": 7, "data": {"image": "/data/upload/1/a.png"}}]
        self.refusal: tuple[int, dict[str, Any]] | None = None  # of saving a model
        self.webhook_refusal: tuple[int, dict[str, Any]] | None = None
        self.state = "CO"
        self.answer: dict[str, Any] = {"data": {"result": [{"id": "mask"}], "score": 0.9}}
        self.clicks: list[dict[str, Any]] = []
        self.url = ""

    def add_project(self, config: str) -> int:
        project = {"id": len(self.projects) + 1, "title": "Flanges", "label_config": config}
        self.projects.append(project)
        return int(project["id"])

    def reply(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        parts = path.strip("/").split("/")[1:]
        match method, parts:
            case "GET", ["current-user", "whoami"]:
                return 200, {"id": 1, "email": "engineer@example.com"}
            case "GET", ["projects"]:
                found = [row for row in self.projects if query["title"][0] in row["title"]]
                return 200, {"count": len(found), "results": found}
            case "GET", ["projects", number]:
                found = [row for row in self.projects if row["id"] == int(number)]
                return (200, found[0]) if found else (404, {"detail": "No Project matches the given query."})
            case "POST", ["projects"]:
                self.projects.append({"id": len(self.projects) + 1, **body})
                return 201, self.projects[-1]
            case "GET", ["ml"]:
                return 200, [row for row in self.models if str(row["project"]) == query["project"][0]]
            case "POST" | "PATCH", ["ml", *number] if (
                self.refusal is None and "interactive-annotating" not in number
            ):
                return self._save_model(int(number[0]) if number else 0, body)
            case "POST", ["ml", _, "interactive-annotating"]:
                self.clicks.append(body)
                return 200, self.answer
            case "POST" | "PATCH", ["ml", *_] if self.refusal is not None:
                return self.refusal
            case "GET", ["webhooks"]:
                return 200, self.webhooks
            case "POST", ["webhooks"]:
                return self.webhook_refusal or self._save_webhook(body)
            case "GET", ["tasks"]:
                return 200, {"tasks": self.tasks, "total": len(self.tasks)}
        return 404, {"detail": f"{method} {path} is not faked"}

    def _save_model(self, number: int, body: dict[str, Any]) -> tuple[int, Any]:
        shown = {"state": self.state, "error_message": None, "model_version": "adclick-lite-1"}
        if number:
            (model,) = [row for row in self.models if row["id"] == number]
            model.update(body)
            return 200, model
        self.models.append({"id": len(self.models) + 1, **body, **shown})
        if self.webhook_refusal is None:
            self._save_webhook({"project": body["project"], "url": body["url"] + "/webhook"})
        return 201, self.models[-1]

    def _save_webhook(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.webhooks.append({"is_active": True, **body})
        return 201, self.webhooks[-1]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLabelStudio]:
    fake = FakeLabelStudio()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            status, answer = fake.reply(self.command, parts.path, query, json.loads(body) if body else None)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _handle

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield fake
        server.shutdown()


def connect(fake: FakeLabelStudio, *words: str, backend: str = BACKEND) -> int:
    common = ["--label-studio", fake.url, "--api-key", LEGACY_TOKEN, "--backend", backend]
    return main(["connect", *common, *words])


def test_creates_a_project_with_the_recommended_config_and_connects_it(
    fake: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    assert connect(fake, "--create", "Flanges", "--label", "scratch", "--label", "dent") == 0
    (project,) = fake.projects
    assert project["label_config"] == recommended_config(["scratch", "dent"])
    (model,) = fake.models
    assert model["url"] == BACKEND and model["is_interactive"] is True
    assert fake.clicks[0]["task"] == 7
    (point,) = fake.clicks[0]["context"]["result"]
    assert (point["from_name"], point["value"]["keypointlabels"]) == ("click", ["scratch"])
    assert "Ready: open a task and click a defect." in capsys.readouterr().out


def test_connecting_again_changes_nothing(fake: FakeLabelStudio) -> None:
    for _ in range(2):
        assert connect(fake, "--create", "Flanges") == 0
    assert (len(fake.projects), len(fake.models), len(fake.webhooks)) == (1, 1, 1)


def test_a_connected_backend_becomes_interactive(fake: FakeLabelStudio) -> None:
    number = fake.add_project(recommended_config(["dent"]))
    fake.reply(
        "POST",
        "/api/ml",
        {},
        {"project": number, "url": BACKEND + "/", "title": "Mine", "is_interactive": False},
    )
    assert connect(fake, "--project", str(number)) == 0
    (model,) = fake.models
    assert model["is_interactive"] is True and model["title"] == "Mine"


def test_private_address_is_refused_with_the_variables_to_set(
    fake: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.refusal = (403, {"status_code": 403, "version": "1.23.2", "detail": PRIVATE})
    assert connect(fake, "--create", "Flanges") == 1
    out = capsys.readouterr().out
    assert PRIVATE in out
    assert "USE_DEFAULT_BANNED_SUBNETS=false" in out and "SSRF_PROTECTION_ENABLED=false" in out
    assert "Not ready yet" in out


def test_half_connected_model_is_noticed(fake: FakeLabelStudio, capsys: pytest.CaptureFixture[str]) -> None:
    """With ML_BLOCK_LOCAL_IP=false alone the model is saved, but its webhook is refused."""
    fake.webhook_refusal = (403, {"status_code": 403, "detail": PRIVATE})
    assert connect(fake, "--create", "Flanges") == 1
    assert "SSRF_PROTECTION_ENABLED=false" in capsys.readouterr().out


def test_localhost_inside_docker_is_explained(
    fake: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.refusal = (
        400,
        {
            "status_code": 400,
            "detail": "Validation error",
            "validation_errors": {"non_field_errors": [REFUSED]},
        },
    )
    assert connect(fake, "--create", "Flanges", backend="http://localhost:9198") == 1
    out = capsys.readouterr().out
    assert "Can't connect to ML backend http://localhost:9198, health check failed." in out
    assert "<a href" not in out
    assert "http://host.docker.internal:9198" in out


def test_config_in_which_clicks_go_nowhere_is_corrected(
    fake: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = (
        '<View><Image name="image" value="$image"/>'
        '<BrushLabels name="brush" toName="image"><Label value="dent"/></BrushLabels>'
        '<KeyPointLabels name="click" toName="image" smart="true"><Label value="dent"/></KeyPointLabels>'
        "</View>"
    )
    assert connect(fake, "--project", str(fake.add_project(usual))) == 1
    out = capsys.readouterr().out
    assert "Settings > Labeling Interface > Code" in out and 'smart="false"' in out


def test_another_interactive_model_in_front_is_named(
    fake: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    number = fake.add_project(recommended_config(["dent"]))
    other = {"project": number, "url": "http://sam.test:9090", "title": "SAM", "is_interactive": True}
    fake.reply("POST", "/api/ml", {}, other)
    assert connect(fake, "--project", str(number)) == 1
    assert '"SAM"' in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer", [{"data": {"result": [], "score": 0}}, {"errors": ["500 Server Error: INTERNAL SERVER ERROR"]}]
)
def test_unreadable_image_is_reported(
    fake: FakeLabelStudio, capsys: pytest.CaptureFixture[str], answer: dict[str, Any]
) -> None:
    fake.answer = answer
    assert connect(fake, "--create", "Flanges") == 1
    assert "FAIL" in capsys.readouterr().out


def test_project_without_images_is_connected(
    fake: FakeLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.tasks = []
    assert connect(fake, "--create", "Flanges") == 0
    assert "no image yet" in capsys.readouterr().out


def test_unknown_project_is_said(fake: FakeLabelStudio, capsys: pytest.CaptureFixture[str]) -> None:
    assert connect(fake, "--project", "99") == 1
    assert "No Project matches the given query." in capsys.readouterr().out


def test_a_disconnected_model_is_not_ready(fake: FakeLabelStudio) -> None:
    fake.state = "DI"
    assert connect(fake, "--create", "Flanges") == 1


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (PRIVATE, "USE_DEFAULT_BANNED_SUBNETS=false"),
        (REFUSED, "Nothing listens on port 9090 at backend.test"),
        ("Can't resolve hostname backend.test", "does not know the name backend.test"),
        ("The provided URL was not allowed. URLs must use http:// or https://", "must begin with http://"),
        (WRONG_PASSWORD, "--basic-auth USER:PASSWORD"),
        ("Max retries exceeded (Caused by ConnectTimeoutError(... timed out.", "firewall"),
        (
            f"Successfully connected to {BACKEND} but it doesn't look like a valid ML backend.",
            "another server",
        ),
    ],
)
def test_messages_of_label_studio_are_explained(message: str, advice: str) -> None:
    assert advice in explain(message, BACKEND, answers_here=False)


def test_an_unknown_message_is_passed_on() -> None:
    assert explain("Out of cheese.", BACKEND, answers_here=False) == 'Label Studio says: "Out of cheese."'


def test_a_backend_that_answers_here_is_not_blamed() -> None:
    text = explain(REFUSED, "http://localhost:9198", answers_here=True)
    assert "From this machine http://localhost:9198 does answer" in text
