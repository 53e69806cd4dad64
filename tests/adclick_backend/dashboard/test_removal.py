"""A project removed with all its data, nothing of another one touched, and one that Label Studio deleted."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adclick_backend.dashboard import removal
from adclick_backend.images.connections import Link
from adclick_backend.references.syncing import KEY as SYNC
from adclick_backend.store import removal as store_removal
from tests.helpers.backend import Backend, point, task
from tests.helpers.dashboard import page, png, send
from tests.helpers.fake_label_studio import LEGACY_TOKEN, FakeLabelStudio
from tests.helpers.local_server import Reply
from tests.helpers.references import mark

REMOVE = "/projects/1/remove"


def fill(backend: Backend, project: str) -> None:
    """Bring something of everything into a project."""
    services, number = backend.services, int(project)
    backend.setup(project=f"{project}.1795338618")
    services.references.add(project, png(80 + number), source="upload", name="good.png")
    for one in (1, 2):
        mark(
            backend,
            backend.draw(f"{project}-{one}.png", grey=100 + 10 * one + number),
            number=one,
            project=number,
        )
    backend.work()
    backend.click(
        task(backend.draw(f"{project}-3.png", [(20, 20, 200)]), 3), [point(20, 20)], project=f"{project}.1"
    )
    services.answers.flush()
    services.store.prompts.add(project, "scratch", ["a thin line"], "person")
    services.report(project, "something went wrong")
    services.store.annotations.ask_checks(project, [1], 10)
    services.labels.forget(project, [2])
    services.store.values.set(project, "key", "value")
    job = services.jobs.enqueue(project, "train", "a test")
    services.store.jobs.end(job.id, "failed", "Over.")
    backend.serve_version(project)
    folder = backend.settings.data_dir / "projects" / project
    for name in (
        "reports/v1.html",
        "cache/key/a.safetensors",
        "tries/x/about.json",
        "gallery/a.jpg",
        "jobs/1/log.txt",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    services.store.projects.save(project, title=f"Screws {project}")
    downloads = backend.settings.data_dir / "cache/downloads" / project
    downloads.mkdir(parents=True, exist_ok=True)
    (downloads / "abc").write_text("x")


def rows(backend: Backend, project: str) -> dict[str, list[tuple[Any, ...]]]:
    """Table -> the rows of a project."""
    found = {}
    with backend.services.store.database.read() as connection:
        for (table,) in connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            columns = [row.name for row in connection.exec_driver_sql(f"PRAGMA table_info({table})")]
            column = "id" if table == "projects" else "project" if "project" in columns else ""
            if column:
                chosen = connection.exec_driver_sql(
                    f"SELECT * FROM {table} WHERE {column} = ? ORDER BY 1, 2", (project,)
                )
                found[table] = [tuple(row) for row in chosen]
    return found


def clicked(backend: Backend, project: str) -> int:
    with sqlite3.connect(backend.settings.data_dir / "clicks.sqlite3") as connection:
        number = connection.execute(
            "SELECT COUNT(*) FROM clicked_objects WHERE project = ?", (project,)
        ).fetchone()
    connection.close()
    return int(number[0])


def files(backend: Backend, project: str) -> dict[str, bytes]:
    data = backend.settings.data_dir
    folders = (data / "projects" / project, data / "cache/downloads" / project)
    return {
        str(path.relative_to(data)): path.read_bytes()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def two(connected: Backend) -> Backend:
    """Projects 1 and 11, with something of everything."""
    fill(connected, "1")
    fill(connected, "11")
    return connected


def removed(backend: Backend) -> Any:
    return send(backend, REMOVE, name="Screws 1")


def assert_gone(backend: Backend) -> None:
    assert {table for table, found in rows(backend, "1").items() if found} == set()
    assert files(backend, "1") == {}
    assert clicked(backend, "1") == 0
    assert not list(backend.settings.data_dir.glob(".removed-*"))
    assert backend.client.get("/projects/1").status_code == 404


def test_the_page_says_what_goes_and_what_stays(two: Backend) -> None:
    assert 'href="/projects/1/remove"' in page(two)
    text = page(two, REMOVE)
    for words in (
        "3 references",
        "1 labelled image",
        "1 trained version",
        "1 report",
        "1 job",
        "Type <strong>Screws 1",
    ):
        assert words in text
    assert "In Label Studio everything stays" in text
    assert files(two, "1")


def test_a_project_goes_with_everything_and_no_other_is_touched(two: Backend) -> None:
    """Reliability row 24."""
    filled = {table for table, found in rows(two, "1").items() if found}
    assert filled >= {
        *(
            "projects",
            "key_values",
            "reference_images",
            "annotation_revisions",
            "deleted_tasks",
            "task_checks",
        ),
        *("problems", "answers", "labelled_tasks", "jobs", "prompts"),
    }
    assert clicked(two, "1")
    before = rows(two, "11"), files(two, "11"), clicked(two, "11")
    answer = removed(two)
    assert answer.status_code == 200
    assert "Screws 1 is removed" in answer.text
    assert_gone(two)
    assert (rows(two, "11"), files(two, "11"), clicked(two, "11")) == before
    assert page(two, "/projects/11")


@pytest.mark.parametrize("typed", ["", "Screws", "screws 1", "Screws 11", "1"])
def test_another_name_removes_nothing(two: Backend, typed: str) -> None:
    before = rows(two, "1"), files(two, "1")
    answer = send(two, REMOVE, name=typed)
    assert answer.status_code == 409
    assert "nothing was removed" in answer.text
    assert (rows(two, "1"), files(two, "1")) == before


def test_a_project_without_a_title_is_named_by_its_number(connected: Backend) -> None:
    assert send(connected, REMOVE, name="Project 1").status_code == 200
    assert not any(rows(connected, "1").values())


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(
    "step", ["before its rows", "within its rows", "before what was set aside is deleted"]
)
def test_a_crash_in_between_leaves_a_project_that_can_be_removed_again(
    two: Backend, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    store, data = two.services.store, two.settings.data_dir
    with monkeypatch.context() as patch:
        if step == "before its rows":
            patch.setattr(store_removal, "_forget", killed)
        elif step == "within its rows":
            with store.database.write() as connection:
                connection.exec_driver_sql(
                    "CREATE TRIGGER stop BEFORE DELETE ON problems BEGIN SELECT RAISE(ABORT, 'stopped'); END"
                )
        else:
            patch.setattr(store_removal, "sweep_removed", killed)
        with pytest.raises((Killed, sqlite3.Error)):
            store_removal.take_away(store.database, data, "1")
    if step == "before what was set aside is deleted":
        assert not any(rows(two, "1").values())
        assert list(data.glob(".removed-*"))
        store_removal.sweep_removed(data)  # as the keeper does
        two.services.memory.forget_project("1")
        store.projects.forget("1")
        assert_gone(two)
        return
    with store.database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS stop")
    assert rows(two, "1")["labelled_tasks"]  # all of them or none
    assert page(two)
    assert removed(two).status_code == 200
    assert_gone(two)


def test_one_that_was_interrupted_is_said_on_its_page(two: Backend) -> None:
    two.services.store.values.set("1", store_removal.BEGUN, "1.0")
    assert "Somebody began to remove this project" in page(two)


def test_jobs_are_cancelled_first(two: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    services = two.services
    running = services.jobs.enqueue("1", "train", "a test")
    services.store.jobs.begin(running.id, "Learning.")
    services.jobs.enqueue("1", "push", "a test")
    monkeypatch.setattr(removal, "PATIENCE_S", 0.3)
    answer = removed(two)
    assert answer.status_code == 409
    assert f"Job {running.id} is still being ended" in answer.text
    assert services.jobs.get("1", running.id).cancel
    assert files(two, "1")
    assert "Somebody began" not in page(two)
    monkeypatch.setattr(removal, "PATIENCE_S", 10.0)
    threading.Timer(0.5, services.store.jobs.end, (running.id, "cancelled", "Cancelled.")).start()
    assert removed(two).status_code == 200
    assert_gone(two)


def test_labels_that_are_being_read_are_waited_for(two: Backend) -> None:
    state = {
        "sentence": "50 %",
        "running": True,
        "at": time.time(),
        "failed": False,
        "uptime": time.monotonic(),
    }
    two.services.store.values.set("1", SYNC, json.dumps(state))
    answer = removed(two)
    assert answer.status_code == 409
    assert "being read from Label Studio" in answer.text
    assert files(two, "1")


def test_a_disk_that_cannot_be_written_is_said(two: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        answer = removed(two)
    assert answer.status_code == 409
    assert "disk with the data folder is full" in answer.text
    assert rows(two, "1")["labelled_tasks"]
    assert removed(two).status_code == 200


# --- deleted in Label Studio


@pytest.fixture
def studio_and_backend(make_backend: Callable[..., Backend]) -> Any:
    with FakeLabelStudio() as studio:
        backend = make_backend(label_studio_url=studio.url, label_studio_api_key=LEGACY_TOKEN)
        fill(backend, "1")
        backend.services.connections.label_studio("1")._transport._sleep = lambda seconds: None
        yield studio, backend


def look(backend: Backend) -> Link:
    backend.services.links.forget("1")
    return backend.services.links.look("1")


def test_a_project_that_was_deleted_in_label_studio_says_so_and_loses_nothing(
    studio_and_backend: Any,
) -> None:
    studio, backend = studio_and_backend
    assert not look(backend).gone
    studio.projects = []
    studio.tasks = []
    before = rows(backend, "1")["labelled_tasks"], rows(backend, "1")["reference_images"]
    assert "Label Studio does not have this project any more" in page(backend, REMOVE)  # a moment ago it had
    found = look(backend)
    assert found.gone
    assert found.state == "bad"
    text = page(backend)
    assert "has no project 1, or does not show it to this API key" in text
    assert "Nothing was deleted here because of that." in text
    assert "remove what is kept of it here" in " ".join(text.split())
    assert "Label Studio does not have this project any more" in page(backend, REMOVE)
    assert "has no project 1" in backend.sync()
    assert (rows(backend, "1")["labelled_tasks"], rows(backend, "1")["reference_images"]) == before
    assert removed(backend).status_code == 200


@pytest.mark.parametrize("status", [404, 502, 401])
def test_a_label_studio_that_answers_for_no_project_has_not_deleted_this_one(
    studio_and_backend: Any, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio, backend = studio_and_backend
    one, known = studio._one, studio._is_known
    listed = {"status": 200}

    def refuses(kind: str, number: int) -> Reply:
        listed["status"] = status  # from now on for the list as well
        return Reply.json({"detail": "Not found."}, status) if kind == "projects" else one(kind, number)

    monkeypatch.setattr(studio, "_one", refuses)
    monkeypatch.setattr(studio, "_is_known", lambda key: listed["status"] == 200 and known(key))
    assert not look(backend).gone
