"""``adclick connect`` against a real Label Studio."""

from __future__ import annotations

import re
import shutil
from html import unescape
from pathlib import Path

import pytest
import requests

from adclick_backend.cli import main
from adclick_backend.label_studio.webhooks import SECRET_HEADER
from adclick_backend.protocol.webhook_secret import WebhookSecret
from adclick_backend.settings import get_settings
from tests.e2e import servers
from tests.e2e.project import Project
from tests.e2e.simulated_person import count_references, wait_for_references
from tests.helpers.references import wait_for

pytestmark = pytest.mark.e2e


def connect(label_studio: str, api_key: str, backend: str, *words: str) -> int:
    common = ["--label-studio", label_studio, "--api-key", api_key, "--backend", backend]
    return main(["connect", *common, *words])


def test_a_new_project_is_created_connected_and_checked(
    label_studio: str,
    api_key: str,
    backend: str,
    person: requests.Session,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from draw_samples import draw

    words = ("--create", "Caps", "--label", "scratch", "--label", "dent")
    assert connect(label_studio, api_key, backend, *words) == 0
    assert "no image yet" in capsys.readouterr().out
    (project,) = Project.titled(person, label_studio, "Caps")
    project.upload([draw("cap", "scratch", seed=1).image])
    for _ in range(2):
        assert connect(label_studio, api_key, backend, "--project", str(project.id)) == 0
        out = capsys.readouterr().out
        assert f"Label Studio reaches the backend at {backend}" in out
        assert "The backend reads the project's images" in out
    assert len(project.models()) == 1


def test_the_dashboard_registers_the_secret(
    label_studio: str, api_key: str, backend: str, person: requests.Session
) -> None:
    """Stranger's webhook: the one that Label Studio makes by itself has no headers."""
    project = Project.create(person, label_studio, "Bolts", ["scratch"])
    project.connect(backend)
    (hook,) = project.webhooks()
    assert hook["headers"] == {}
    overview = f"{backend}/projects/{project.id}"
    shown = shown_once(overview, "come without the secret")
    token = re.search(r'name="form_token" value="([^"]+)"', shown)
    assert token
    requests.post(f"{overview}/webhook", data={"form_token": token[1]}, timeout=60).raise_for_status()
    (hook,) = project.webhooks()
    assert len(hook["headers"][SECRET_HEADER]) >= 32
    assert hook["send_for_all_actions"] and hook["is_active"]
    shown_once(overview, "come with the secret")


def test_what_a_message_names_is_read_from_label_studio(
    label_studio: str, backend: str, person: requests.Session
) -> None:
    """Stranger's webhook: made-up deletions delete nothing that Label Studio has, and what it deletes goes."""
    from draw_samples import draw

    project = Project.create(person, label_studio, "Washers", ["scratch"])
    project.connect(backend)
    tasks = project.upload([draw("cap", seed=seed).image for seed in (1, 2, 3)])
    for task in tasks:
        project.mark_normal(task)
    wait_for_references(backend, project.id, ready=3)
    ids = [project.annotation_ids(task)[0] for task in tasks]
    for action, key, numbers in (
        ("ANNOTATIONS_DELETED", "annotations", ids),
        ("TASKS_DELETED", "tasks", tasks),
    ):
        message = {"action": action, "project": {"id": project.id}, key: [{"id": one} for one in numbers]}
        requests.post(f"{backend}/webhook", json=message, timeout=30).raise_for_status()
    project.delete_annotation(ids[0])
    assert wait_for(lambda: count_references(backend, project.id) < 3)
    assert count_references(backend, project.id) == 2
    project.delete_task(tasks[1])
    assert wait_for(lambda: count_references(backend, project.id) == 1)


def test_only_messages_with_the_secret_delete_where_nothing_can_be_read_back(
    label_studio: str,
    api_key: str,
    person: requests.Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Stranger's webhook: Label Studio's own messages bring labels and delete them; the same without it do not."""
    from draw_samples import draw

    monkeypatch.setenv("ADCLICK_DATA_DIR", str(tmp_path))
    with (
        servers.backend(tmp_path, label_studio_url="", api_key="") as keyless,
        servers.looked_into(tmp_path) as (store, _),
    ):
        get_settings.cache_clear()
        assert connect(label_studio, api_key, keyless, "--create", "Nuts", "--label", "scratch") == 0
        assert "with the backend's secret: it was added to the webhook." in capsys.readouterr().out
        (project,) = Project.titled(person, label_studio, "Nuts")
        (hook,) = project.webhooks()
        number = str(project.id)
        assert hook["headers"] == {SECRET_HEADER: WebhookSecret(store).value}

        def normal() -> list[int]:
            rows = store.labels.of_project(number)
            return [
                row.task_id
                for row, kinds in zip(rows, store.labels.kinds(number), strict=True)
                if kinds == {}
            ]

        first, second = project.upload([draw("cap", seed=seed).image for seed in (1, 2)])
        project.mark_normal(first)
        project.mark_normal(second)
        assert wait_for(lambda: normal() == [first, second])
        ids = [project.annotation_ids(task)[0] for task in (first, second)]
        for action, body in (
            ("ANNOTATIONS_DELETED", {"annotations": [{"id": one} for one in ids]}),
            ("TASKS_DELETED", {"tasks": [{"id": first}, {"id": second}]}),
        ):
            message = {"action": action, "project": {"id": project.id}, **body}
            answer = requests.post(f"{keyless}/webhook", json=message, timeout=30)
            assert answer.json()["result"] == {"references_changed": False}
        assert normal() == [first, second]
        assert "labels of 2 tasks were deleted or changed" in shown_once(
            f"{keyless}/projects/{number}", "Somebody says"
        )
        project.delete_annotation(ids[0])
        assert wait_for(lambda: normal() == [second])
        project.delete_task(second)
        assert wait_for(lambda: normal() == [])
        assert sorted(task for task, _ in store.labels.deleted(number)) == [first, second]


def shown_once(address: str, words: str) -> str:
    """The page at that address, waited for until these words stand in it."""
    pages: list[str] = []

    def look() -> bool:
        pages.append(unescape(requests.get(address, timeout=60).text))
        return words in pages[-1]

    assert wait_for(look), pages[-1]
    return pages[-1]


def test_the_refusal_of_private_addresses_is_explained(
    label_studio: str,
    label_studio_folder: Path,
    api_key: str,
    backend: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A Label Studio as it is installed: same users and projects, none of the settings it needs."""
    folder = tmp_path / "as-installed"
    shutil.copytree(label_studio_folder, folder)
    with servers.label_studio(folder, settings={}) as strict:
        assert connect(strict, api_key, backend, "--create", "Refused") == 1
    out = capsys.readouterr().out
    assert "URL resolves to a reserved network address (block: 127.0.0.0/8)" in out
    assert "USE_DEFAULT_BANNED_SUBNETS=false" in out


def test_a_legacy_token_is_told_from_a_personal_one(
    label_studio: str, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert connect(label_studio, "0123456789abcdef0123456789abcdef01234567", backend, "--project", "1") == 1
    assert "personal access token" in capsys.readouterr().out
