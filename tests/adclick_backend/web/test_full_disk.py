"""A full or read-only data folder in every phase, with the app on a small disk (reliability row 19)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from io import BytesIO
from pathlib import Path

import pytest

from adclick_backend.store import Disk, DiskError
from adclick_backend.store.scratch import ScratchFile
from tests.helpers.backend import CONFIG, Backend, annotation, mask_of, point, square, task
from tests.helpers.dashboard import form_token, page, png
from tests.helpers.disks import SmallDisk, small_disk

Trouble = AbstractContextManager[None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "data") as disk:
        yield disk


@pytest.fixture
def backend(disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    monkeypatch.setattr(ScratchFile, "MEMORY_S", 0.0)
    monkeypatch.setattr(Disk, "LOOK_S", 0.0)
    made = Backend(tmp_path, label_studio_url="http://127.0.0.1:9", label_studio_api_key="k")
    made.setup()
    made.webhook("PROJECT_UPDATED")
    yield made
    made.close()


@pytest.fixture(params=["full", "read-only"])
def trouble(request: pytest.FixtureRequest, disk: SmallDisk, backend: Backend) -> Trouble:
    """The disk fills up under the server, or becomes read-only."""
    return disk.full() if request.param == "full" else read_only(disk, backend)


@contextmanager
def read_only(disk: SmallDisk, backend: Backend) -> Iterator[None]:
    backend.services.answers.flush()
    backend.services.store.close()  # else the system refuses
    with disk.read_only():
        yield
        backend.services.answers.flush()
        backend.services.store.close()


def said(trouble_said: str) -> bool:
    return "is full: make room" in trouble_said or "its disk is read-only" in trouble_said


FORMS = {
    "training": dict,
    "labels/sync": dict,
    "references": lambda: {"images": (BytesIO(png()), "good.png")},
}


def saved(number: int = 1) -> dict[str, object]:
    return {"annotation": annotation(number), "task": {"id": 1, "data": {"image": "/data/upload/1/a.png"}}}


def sound(backend: Backend) -> bool:
    with closing(sqlite3.connect(backend.settings.data_dir / "adclick.sqlite3")) as database:
        return bool(database.execute("PRAGMA integrity_check").fetchall() == [("ok",)])


def halves(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*") if path.is_file() and path.name != ".lock"]


def test_clicks_go_on_from_memory(backend: Backend, trouble: Trouble) -> None:
    """The second click of an object knows the first, before, during and after the trouble."""
    url = backend.draw("a.png", [(10, 10, 200), (30, 30, 210)])
    first = backend.click(task(url), [point(10, 10)]).json["results"][0]["result"][0]
    with trouble:
        second = backend.click(task(url), [point(2, 40, name="kp2", positive=False)])
        region = second.json["results"][0]["result"][0]
        assert region["id"] == first["id"]
        assert (mask_of(region) == square(10, 10)).all()
        other = backend.click(task(url, 2), [point(30, 30, name="kp3")]).json["results"][0]["result"][0]
        assert (mask_of(other) == square(30, 30)).all()
    third = backend.click(task(url, 2), [point(2, 2, name="kp4", positive=False)])
    assert third.json["results"][0]["result"][0]["id"] == other["id"]
    assert [len(clicks) for *_, clicks in backend.engine.clicked] == [1, 2, 1, 2]
    assert sound(backend)


def test_answers_that_could_not_be_kept_are_kept_later(backend: Backend, trouble: Trouble) -> None:
    url = backend.draw("a.png", [(10, 10, 200)])
    with trouble:
        region = backend.click(task(url), [point(10, 10)]).json["results"][0]["result"][0]
        backend.services.answers.flush()
    assert "reason" not in backend.client.get("/health").json
    backend.services.answers.flush()
    assert backend.services.store.answers.regions("1", 1) == {region["id"]}


def test_health_is_degraded_and_recovers_by_itself(backend: Backend, trouble: Trouble) -> None:
    """Label Studio looks at the status alone, and goes on."""
    assert backend.client.get("/health").json == {"status": "UP", "model_class": "ADClickBackend"}
    with trouble:
        answer = backend.client.get("/health")
        assert answer.status_code == 200
        assert answer.json["status"] == "UP"
        assert answer.json["state"] == "degraded"
        assert said(answer.json["reason"])
    assert backend.client.get("/health").json == {"status": "UP", "model_class": "ADClickBackend"}


def test_a_project_can_be_connected_and_changed(backend: Backend, trouble: Trouble) -> None:
    """Another labeling config counts at once, and is written down when the disk has room again."""
    other = CONFIG.replace("dent", "crack")
    with trouble:
        assert backend.setup("7.1", other).status_code == 200
        assert backend.setup("1.1", other).status_code == 200
        assert backend.services.labels.config("1").images[0].all_brush_labels == ("scratch", "crack")
        assert {project.id for project in backend.services.store.projects.all()} >= {"1", "7"}
    backend.client.get("/health")
    backend.services.store.projects._unwritten.clear()
    assert backend.services.store.projects.get("7").label_config == other
    assert backend.services.store.projects.get("1").label_config == other


@pytest.mark.parametrize("action", ["ANNOTATION_CREATED", "START_TRAINING", "PROJECT_UPDATED"])
def test_an_event_that_cannot_be_written_down_is_no_success(
    backend: Backend, trouble: Trouble, action: str
) -> None:
    """Label Studio does not repeat it, so the project is synchronised when that is over."""
    other = CONFIG.replace("dent", "crack")
    with trouble:
        answer = backend.webhook(action, config=other, **saved())
        assert answer.status_code == 503
        assert answer.json["error"]["code"] == "storage"
        assert said(answer.json["error"]["message"])
        assert f"{action} of Label Studio could not be kept" in page(backend)
    backend.services.store.values.set("1", "label_sync_due", "")
    backend.client.get("/health")
    assert backend.services.store.values.get("1", "label_sync_due")
    assert backend.webhook(action, **saved()).status_code == 201


def test_every_page_is_there_and_says_so(backend: Backend, trouble: Trouble) -> None:
    url = backend.draw("a.png", [(10, 10, 200)])
    backend.click(task(url), [point(10, 10)])
    tabs = ("", "/references", "/labels", "/training", "/versions", "/prompts", "/reports")
    with trouble:
        backend.engine.error = RuntimeError("out of order")
        backend.click(task(url), [point(10, 10)])
        for tab in tabs:
            assert said(page(backend, f"/projects/1{tab}")), tab
        assert "A click could not be answered" in page(backend)
    assert "Nothing can be kept" not in page(backend)
    assert "A click could not be answered" in page(backend), "it was written down afterwards"


def test_a_form_that_could_not_be_kept_says_so(backend: Backend, trouble: Trouble) -> None:
    token = form_token(backend)
    with trouble:
        for route, form in FORMS.items():
            answer = backend.client.post(f"/projects/1/{route}", data={"form_token": token, **form()})
            assert answer.status_code == 503, route
            assert said(answer.text)
    assert backend.services.jobs.of_project("1") == []


def test_a_reference_is_taken_in_afterwards(backend: Backend, trouble: Trouble) -> None:
    url = backend.draw("good.png")
    backend.services.references.add("1", (backend.images / "good.png").read_bytes(), source="upload")
    with trouble:
        with pytest.raises(DiskError):
            backend.services.keeper.step()
        assert not backend.services.keeper.step()  # and does not fetch the image over and over
    backend.client.get("/health")
    backend.work()
    assert [one.state for one in backend.services.store.references.of_project("1")] == ["ready"]
    assert url


def test_nothing_is_half_written(backend: Backend, disk: SmallDisk) -> None:
    with disk.full():
        url = backend.draw("a.png", [(10, 10, 200)])
        backend.click(task(url), [point(10, 10)])
        backend.webhook("ANNOTATION_CREATED", **saved())
        backend.open_tasks([task(url)])
        backend.services.answers.flush()
        assert halves(disk.folder) == []
        assert sound(backend)
    assert sound(backend)
    backend.services.store.close()
    with closing(sqlite3.connect(backend.settings.data_dir / "adclick.sqlite3")) as database:
        assert database.execute("SELECT COUNT(*) FROM labelled_tasks").fetchone() == (0,)
