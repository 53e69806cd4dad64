"""The webhook of a project on the dashboard: whether it carries the secret, and a button that mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from adclick_backend.label_studio.webhooks import SECRET_HEADER
from tests.helpers.backend import CONFIG, Backend
from tests.helpers.dashboard import page, send
from tests.helpers.fake_label_studio import LEGACY_TOKEN
from tests.helpers.fake_projects import FakeProjects

HERE = "http://localhost"  # where Flask's test client calls


@pytest.fixture
def fake() -> Iterator[FakeProjects]:
    with FakeProjects() as running:
        running.add_project(CONFIG)
        yield running


@pytest.fixture
def backend(make_backend: Callable[..., Backend], fake: FakeProjects) -> Backend:
    backend = make_backend(label_studio_url=fake.url, label_studio_api_key=LEGACY_TOKEN)
    backend.setup()
    return backend


def connect_model(fake: FakeProjects, url: str = HERE, version: str = "adclick-lite-1") -> None:
    """As Label Studio connects a model: a webhook without headers comes with it."""
    fake.reply("POST", "/api/ml", {}, {"project": 1, "url": url})
    fake.models[-1]["model_version"] = version


def test_a_webhook_without_the_secret_is_shown_and_mended(backend: Backend, fake: FakeProjects) -> None:
    """Stranger's webhook: one button registers the secret by Label Studio's API."""
    connect_model(fake)
    shown = page(backend)
    assert "come without the secret" in shown and "Register the webhook with the secret" in shown
    send(backend, "/projects/1/webhook")
    assert fake.webhooks[0]["headers"] == backend.secret
    shown = page(backend)
    assert f"The messages that Label Studio sends to {HERE} carry the secret now." in shown
    assert "come with the secret" in shown and "Register the webhook" not in shown


def test_another_secret_is_shown_and_mended(backend: Backend, fake: FakeProjects) -> None:
    connect_model(fake)
    fake.webhooks[0]["headers"] = {SECRET_HEADER: "of an earlier data folder"}
    assert "come with another secret" in page(backend)
    send(backend, "/projects/1/webhook")
    assert fake.webhooks[0]["headers"] == backend.secret


def test_a_missing_webhook_is_shown_and_made(backend: Backend, fake: FakeProjects) -> None:
    connect_model(fake)
    fake.webhooks.clear()
    assert "has no active webhook that leads here" in page(backend)
    send(backend, "/projects/1/webhook")
    assert (fake.webhooks[0]["url"], fake.webhooks[0]["headers"]) == (f"{HERE}/webhook", backend.secret)


def test_behind_a_proxy_the_only_model_with_our_version_is_this_backend(
    backend: Backend, fake: FakeProjects
) -> None:
    connect_model(fake, "https://proxy.test/adclick", backend.services.registry.serving_name("1"))
    assert "come without the secret" in page(backend)
    send(backend, "/projects/1/webhook")
    assert fake.webhooks[0]["headers"] == backend.secret


def test_the_secret_is_never_given_to_another_backend(backend: Backend, fake: FakeProjects) -> None:
    connect_model(fake, "http://sam.test:9090", "sam-1")
    assert "the secret" not in page(backend)
    send(backend, "/projects/1/webhook")
    assert "It cannot be told which of the project's ML backends this one is." in page(backend)
    assert fake.webhooks[0]["headers"] == {}


def test_what_label_studio_refuses_is_said(backend: Backend, fake: FakeProjects) -> None:
    connect_model(fake)
    fake.webhooks.clear()
    fake.webhook_refusal = (403, {"detail": "You do not have permission to create webhooks."})
    send(backend, "/projects/1/webhook")
    assert "The webhook was not changed." in page(backend)


def test_the_secret_stands_in_no_page_and_no_log(
    backend: Backend, fake: FakeProjects, caplog: pytest.LogCaptureFixture
) -> None:
    """Reliability row 10."""
    connect_model(fake)
    send(backend, "/projects/1/webhook")
    secret = backend.services.webhook_secret.value
    for route in ("/projects/1", "/projects/1/labels", "/versions", "/metrics"):
        assert secret not in backend.client.get(route).text
    assert secret not in caplog.text
