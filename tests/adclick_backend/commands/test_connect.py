from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from adclick_backend.cli import main
from adclick_backend.commands.connect_advice import explain
from adclick_backend.config.labeling_config import parse_labeling_config, recommended_config
from adclick_backend.config.layout import former_config
from adclick_backend.label_studio.webhooks import SECRET_HEADER
from adclick_backend.protocol.webhook_secret import secret_in
from adclick_backend.settings import get_settings
from tests.helpers.backend import Backend
from tests.helpers.fake_label_studio import LEGACY_TOKEN
from tests.helpers.fake_projects import FakeProjects
from tests.helpers.local_server import LocalServer, Reply

BACKEND = "http://backend.test:9090"
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


@pytest.fixture
def fake() -> Iterator[FakeProjects]:
    with FakeProjects() as fake:
        yield fake


def connect(fake: FakeProjects, *words: str, backend: str = BACKEND) -> int:
    common = ["--label-studio", fake.url, "--api-key", LEGACY_TOKEN, "--backend", backend]
    return main(["connect", *common, *words])


def test_creates_a_project_with_the_recommended_config_and_connects_it(
    fake: FakeProjects, capsys: pytest.CaptureFixture[str]
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


def test_the_backend_is_told_that_this_label_studio_is_ours(
    fake: FakeProjects, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {"error": {"message": "It counts only from the machine that the backend runs on."}}
    answers = iter([Reply.json({"label_studio": fake.url}), Reply.json(refusal, 403)])
    with LocalServer(lambda request: next(answers) if request.path == "/confirm" else None) as backend:
        words = ("--create", "Flanges", "--basic-auth", "u:p")
        assert [connect(fake, *words, backend=backend.url) for _ in range(2)] == [0, 1]
    asked = [request for request in backend.requests if request.path == "/confirm"]
    assert [json.loads(request.body) for request in asked] == [{"project": 1}] * 2
    assert asked[0].headers["Authorization"] == "Basic dTpw"
    assert "It counts only from the machine" in capsys.readouterr().out


def test_connecting_again_changes_nothing(fake: FakeProjects) -> None:
    for _ in range(2):
        assert connect(fake, "--create", "Flanges") == 0
    assert (len(fake.projects), len(fake.models), len(fake.webhooks)) == (1, 1, 1)


def test_a_connected_backend_becomes_interactive(fake: FakeProjects) -> None:
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
    fake: FakeProjects, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.refusal = (403, {"status_code": 403, "version": "1.23.2", "detail": PRIVATE})
    assert connect(fake, "--create", "Flanges") == 1
    out = capsys.readouterr().out
    assert PRIVATE in out
    assert "USE_DEFAULT_BANNED_SUBNETS=false" in out and "SSRF_PROTECTION_ENABLED=false" in out
    assert "Not ready yet" in out


def test_half_connected_model_is_noticed(fake: FakeProjects, capsys: pytest.CaptureFixture[str]) -> None:
    """With ML_BLOCK_LOCAL_IP=false alone the model is saved, but its webhook is refused."""
    fake.webhook_refusal = (403, {"status_code": 403, "detail": PRIVATE})
    assert connect(fake, "--create", "Flanges") == 1
    assert "SSRF_PROTECTION_ENABLED=false" in capsys.readouterr().out


def test_localhost_inside_docker_is_explained(fake: FakeProjects, capsys: pytest.CaptureFixture[str]) -> None:
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


USUAL = (
    '<View><Image name="image" value="$image"/>'
    '<BrushLabels name="brush" toName="image"><Label value="dent"/></BrushLabels>'
    '<KeyPointLabels name="click" toName="image" smart="true"><Label value="dent"/></KeyPointLabels>'
    "</View>"
)


def test_config_in_which_clicks_go_nowhere_is_corrected(
    fake: FakeProjects, capsys: pytest.CaptureFixture[str]
) -> None:
    assert connect(fake, "--project", str(fake.add_project(USUAL))) == 1
    out = capsys.readouterr().out
    assert "Settings > Labeling Interface > Code" in out and 'smart="false"' in out
    assert fake.projects[0]["label_config"] == USUAL  # nobody agreed


def test_fix_config_shows_the_difference_and_writes_the_correction(
    fake: FakeProjects, capsys: pytest.CaptureFixture[str]
) -> None:
    assert connect(fake, "--project", str(fake.add_project(USUAL)), "--fix-config") == 0
    out = capsys.readouterr().out
    assert '* <BrushLabels> "brush" gets smart="false".' in out
    assert '-  <BrushLabels name="brush" toName="image">' in out
    assert '+  <BrushLabels name="brush" toName="image" smart="false">' in out
    assert "Ready: open a task and click a defect." in out
    assert parse_labeling_config(fake.projects[0]["label_config"]).problems == ()


def test_a_config_that_was_recommended_before_is_offered_the_layout_and_is_ready_without(
    fake: FakeProjects, capsys: pytest.CaptureFixture[str]
) -> None:
    number = str(fake.add_project(former_config(["dent"])))
    assert connect(fake, "--project", number) == 0
    assert "The labeling config works." in capsys.readouterr().out
    assert fake.projects[0]["label_config"] == former_config(["dent"])
    assert connect(fake, "--project", number, "--fix-config") == 0
    assert fake.projects[0]["label_config"] == recommended_config(["dent"])


def test_labels_that_mark_all_that_is_alike_are_added_on_request(
    fake: FakeProjects, capsys: pytest.CaptureFixture[str]
) -> None:
    number = str(fake.add_project(recommended_config(["scratch"])))
    assert connect(fake, "--project", number, "--all-alike") == 0
    assert parse_labeling_config(fake.projects[0]["label_config"]).main.click_labels == (
        "scratch",
        "scratch (all)",
    )
    assert 'gets the labels "scratch (all)"' in capsys.readouterr().out
    assert connect(fake, "--project", number, "--all-alike") == 0
    assert connect(fake, "--project", number, "--all-alike", "each") == 0
    assert "scratch (each)" in fake.projects[0]["label_config"]


@pytest.mark.parametrize(("answer", "written"), [("y", True), ("Yes ", True), ("", False), ("n", False)])
def test_a_person_at_a_terminal_is_asked(
    fake: FakeProjects, monkeypatch: pytest.MonkeyPatch, answer: str, written: bool
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert connect(fake, "--project", str(fake.add_project(USUAL))) == (0 if written else 1)
    assert (fake.projects[0]["label_config"] != USUAL) is written


def test_a_config_that_label_studio_refuses_is_said(
    fake: FakeProjects, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.config_refusal = (
        400,
        {"detail": "Validation error", "validation_errors": {"label_config": ["No."]}},
    )
    assert connect(fake, "--project", str(fake.add_project(USUAL)), "--fix-config") == 1
    out = capsys.readouterr().out
    assert "Label Studio does not take the corrected labeling config." in out
    assert "No." in out


def test_a_config_that_only_a_person_can_mend_is_not_offered(
    fake: FakeProjects, capsys: pytest.CaptureFixture[str]
) -> None:
    two = recommended_config(["dent"]).removesuffix("</View>") + '<Image name="side" value="$side"/></View>'
    assert connect(fake, "--project", str(fake.add_project(two)), "--fix-config") == 1
    out = capsys.readouterr().out
    assert 'only "image" can be clicked on' in out
    assert "Code" not in out and fake.projects[0]["label_config"] == two


def test_another_interactive_model_in_front_is_named(
    fake: FakeProjects, capsys: pytest.CaptureFixture[str]
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
    fake: FakeProjects, capsys: pytest.CaptureFixture[str], answer: dict[str, Any]
) -> None:
    fake.answer = answer
    assert connect(fake, "--create", "Flanges") == 1
    assert "FAIL" in capsys.readouterr().out


def test_project_without_images_is_connected(fake: FakeProjects, capsys: pytest.CaptureFixture[str]) -> None:
    fake.tasks = []
    assert connect(fake, "--create", "Flanges") == 0
    assert "no image yet" in capsys.readouterr().out


def test_unknown_project_is_said(fake: FakeProjects, capsys: pytest.CaptureFixture[str]) -> None:
    assert connect(fake, "--project", "99") == 1
    assert "No Project matches the given query." in capsys.readouterr().out


def test_a_disconnected_model_is_not_ready(fake: FakeProjects) -> None:
    fake.state = "DI"
    assert connect(fake, "--create", "Flanges") == 1


# --- the secret of the webhook


@pytest.fixture
def served(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[[bool], Backend]]:
    """A backend that answers at `BACKEND`; its data folder is here, or elsewhere."""
    real = requests.get

    def get(url: str, **options: Any) -> Any:
        if not url.startswith(BACKEND):
            return real(url, **options)
        header = options.get("headers") or {}
        if auth := options.get("auth"):
            header = {**header, "Authorization": "Basic " + b64encode(":".join(auth).encode()).decode()}
        answer = backend.client.get(url.removeprefix(BACKEND), headers=header)
        found = requests.Response()
        found.status_code, found._content = answer.status_code, answer.data
        return found

    def serve(here: bool) -> Backend:
        folder = backend.settings.data_dir if here else tmp_path / "elsewhere"
        monkeypatch.setenv("ADCLICK_DATA_DIR", str(folder))
        get_settings.cache_clear()
        assert backend.services.webhook_secret.value
        return backend

    monkeypatch.setattr("adclick_backend.commands.connect.requests.get", get)
    yield serve
    monkeypatch.undo()


def test_the_webhook_that_label_studio_makes_by_itself_gets_the_secret(
    fake: FakeProjects, served: Callable[[bool], Backend], capsys: pytest.CaptureFixture[str]
) -> None:
    """Stranger's webhook: connecting a model makes one without headers; the command adds the secret, and says so."""
    backend = served(True)
    assert connect(fake, "--create", "Flanges") == 0
    assert "with the backend's secret: it was added to the webhook." in capsys.readouterr().out
    (hook,) = fake.webhooks
    assert hook["headers"] == backend.secret
    assert connect(fake, "--create", "Flanges") == 0
    assert "with the backend's secret." in capsys.readouterr().out
    assert len(fake.webhooks) == 1


def test_another_secret_is_replaced_and_other_headers_and_actions_stay(
    fake: FakeProjects, served: Callable[[bool], Backend], capsys: pytest.CaptureFixture[str]
) -> None:
    """Stranger's webhook: the data folder is a new one, so the secret is too."""
    backend = served(True)
    headers = {"x-adclick-secret": "earlier", "X-Proxy": "1"}
    fake.reply("POST", "/api/webhooks", {}, {"project": 1, "url": f"{BACKEND}/webhook", "headers": headers})
    fake.webhooks[0]["actions"] = ["ANNOTATION_CREATED"]
    fake.webhook_refusal = (400, {})  # and none is made beside it
    assert connect(fake, "--create", "Flanges") == 0
    assert "the webhook had another one" in capsys.readouterr().out
    assert fake.webhooks[0]["headers"] == {"X-Proxy": "1", **backend.secret}
    assert fake.webhooks[0]["actions"] == ["ANNOTATION_CREATED"]


def test_a_webhook_that_was_switched_off_is_switched_on(
    fake: FakeProjects, served: Callable[[bool], Backend], capsys: pytest.CaptureFixture[str]
) -> None:
    served(True)
    fake.reply("POST", "/api/webhooks", {}, {"url": f"{BACKEND}/webhook", "is_active": False})
    fake.webhook_refusal = (400, {})
    assert connect(fake, "--create", "Flanges") == 0
    assert "now tells the backend" in capsys.readouterr().out
    assert fake.webhooks[0]["is_active"] is True


def test_without_the_data_folder_and_without_a_password_the_secret_is_not_had(
    fake: FakeProjects, served: Callable[[bool], Backend], capsys: pytest.CaptureFixture[str]
) -> None:
    """Stranger's webhook: what everybody could ask for would be no secret; said, and no failure."""
    served(False)
    assert connect(fake, "--create", "Flanges") == 0
    out = capsys.readouterr().out
    assert "such messages add labels, and delete or replace none" in out
    assert "Without a password anybody could ask for the secret" in out
    assert fake.webhooks[0]["headers"] == {}


def test_with_the_password_the_backend_gives_its_secret(make_backend: Callable[..., Backend]) -> None:
    """Reliability row 9: not without it, not with a wrong one; and who has it is told that it fits."""
    backend = make_backend(basic_auth_user="u", basic_auth_pass="p")
    ask = backend.client.get
    assert ask("/webhook/secret").status_code == 401
    assert ask("/webhook/secret", auth=("u", "q")).status_code == 401
    answer = ask("/webhook/secret", auth=("u", "p"))
    assert answer.json == {
        "header": SECRET_HEADER,
        "secret": backend.services.webhook_secret.value,
    }
    assert answer.headers["Cache-Control"] == "no-store"


def test_without_a_password_only_who_has_the_secret_is_told_that_it_fits(backend: Backend) -> None:
    assert backend.client.get("/webhook/secret").status_code == 403
    assert backend.client.get("/webhook/secret", headers={SECRET_HEADER: "x"}).status_code == 403
    assert backend.client.get("/webhook/secret", headers=backend.secret).status_code == 200
    assert secret_in(backend.settings.data_dir) == backend.services.webhook_secret.value
    assert secret_in(backend.settings.data_dir / "nowhere") == ""


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
