"""A job that is over is told to the server that a person named, and to whoever has a page open."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest

from adclick_backend.jobs.notices import KINDS, JobNotices
from adclick_backend.settings import Settings
from adclick_backend.store import JobKind
from adclick_backend.workers import process
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, send
from tests.helpers.local_server import LocalServer, Reply
from tests.helpers.references import wait_for

TRAINING = "/projects/1/training"


class Hooks(LocalServer):
    """Takes notices, with this status."""

    def __init__(self) -> None:
        super().__init__(lambda request: Reply(self.status))
        self.status = 200

    @property
    def notices(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.requests]


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with Hooks() as server:
        yield server


def ended(backend: Backend, state: Any = "done", message: str = "v1 serves.", version: str = "v1") -> Any:
    """A training that is over."""
    store = backend.services.store
    job = backend.services.jobs.enqueue("1", "train", "a test")
    store.jobs.begin(job.id, "Starting.")
    store.jobs.end(job.id, state, message, version=version)
    return store.jobs.find(job.id)


def notices(backend: Backend) -> JobNotices:
    return JobNotices(backend.services.store, backend.settings)


def test_a_notice_says_what_the_page_says(connected: Backend, hooks: Hooks) -> None:
    connected.services.store.projects.save("1", title="Screws")
    assert send(connected, "/projects/1/notices", address=f"{hooks.url}/hooks/secret").status_code == 303
    job = ended(connected)
    notices(connected).job_ended(job)
    (notice,) = hooks.notices
    assert notice.pop("seconds") >= 0
    assert notice == {
        "text": f"Screws: Training, job {job.id}, done. v1 serves.",
        "project": "1",
        "title": "Screws",
        "job": job.id,
        "kind": "train",
        "state": "done",
        "message": "v1 serves.",
        "version": "v1",
    }
    text = page(connected, TRAINING)
    assert "v1 serves." in text
    assert "The last notice arrived." in text
    assert hooks.url in text
    assert "secret" not in text


def test_a_failure_is_told_and_a_cancellation_is_not(connected: Backend, hooks: Hooks) -> None:
    notices(connected).send_to("1", hooks.url)
    notices(connected).job_ended(ended(connected, "failed", "Memory ran out."))
    notices(connected).job_ended(ended(connected, "cancelled", "Cancelled."))
    assert [notice["message"] for notice in hooks.notices] == ["Memory ran out."]


def test_the_setting_counts_for_every_project_that_has_no_address(
    make_backend: Callable[..., Backend], hooks: Hooks
) -> None:
    backend = make_backend(notify_url=f"{hooks.url}/all")
    backend.setup()
    notices(backend).job_ended(ended(backend))
    notices(backend).send_to("1", f"{hooks.url}/own")
    notices(backend).job_ended(ended(backend))
    send(backend, "/projects/1/notices/stop")
    notices(backend).job_ended(ended(backend))
    assert [request.path for request in hooks.requests] == ["/all", "/own", "/all"]
    assert "ADCLICK_NOTIFY_URL" in page(backend, TRAINING)


def test_without_an_address_nothing_is_sent(connected: Backend) -> None:
    notices(connected).job_ended(ended(connected))
    assert notices(connected).result("1") is None


def test_a_notice_that_does_not_arrive_fails_nothing(connected: Backend, hooks: Hooks) -> None:
    hooks.status = 500
    notices(connected).send_to("1", f"{hooks.url}/secret")
    job = ended(connected)
    notices(connected).job_ended(job)
    assert connected.services.jobs.get("1", job.id).state == "done"
    text = page(connected, TRAINING)
    assert f"The last notice did not arrive. {hooks.url} answered 500" in text
    assert "secret" not in text


def test_it_can_be_tried_out(connected: Backend, hooks: Hooks) -> None:
    notices(connected).send_to("1", hooks.url)
    assert send(connected, "/projects/1/notices/try").status_code == 303
    assert hooks.notices[0]["kind"] == "test"
    assert "arrived" in page(connected, TRAINING)


@pytest.mark.parametrize("address", ["", "x", "ftp://a/b", "http://u:p@a/b"])
def test_what_is_no_address_is_refused_in_words(connected: Backend, address: str) -> None:
    answer = send(connected, "/projects/1/notices", address=address)
    assert answer.status_code == 400
    assert "address" in answer.text
    assert notices(connected).address("1") == ""


def test_a_stranger_does_not_say_what_is_posted_to(connected: Backend) -> None:
    for route in ("/projects/1/notices", "/projects/1/notices/stop"):
        answer = send(
            connected, route, environ={"REMOTE_ADDR": "192.168.1.20"}, address="http://192.168.1.1/"
        )
        assert answer.status_code == 403
        assert "BASIC_AUTH_USER" in answer.text
    assert notices(connected).address("1") == ""


def test_a_setting_that_is_no_address_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="must be a whole address"):
        Settings(notify_url="chat.example.com")
    assert "secret" not in repr(Settings(notify_url="https://chat.example.com/secret"))


@pytest.mark.parametrize("fails", [False, True])
def test_the_process_of_a_job_sends_it(
    connected: Backend, hooks: Hooks, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    notices(connected).send_to("1", hooks.url)
    services = connected.services
    job = services.jobs.enqueue("1", "report", "a test")
    services.store.jobs.begin(job.id, "Starting.")
    connected.settings.data_dir.joinpath("projects/1/jobs", str(job.id)).mkdir(parents=True)

    def run(*_: object) -> str:
        if fails:
            raise OSError(5, "Input/output error")
        return "The report is there."

    monkeypatch.setattr(process, "WORK", {**process.WORK, "report": run})
    monkeypatch.setattr(process, "_end_with_the_runner", lambda: None)
    monkeypatch.setattr(process.os, "nice", lambda by: 0)
    monkeypatch.setattr(process, "configure_logging", lambda *_: None)
    monkeypatch.setattr(services, "stop", lambda: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO(connected.settings.model_dump_json() + "\n"))
    assert process.main(["--job", str(job.id)], make_services=lambda settings: services) == 0
    (notice,) = hooks.notices
    assert notice["state"] == ("failed" if fails else "done")
    assert notice["message"] == services.jobs.get("1", job.id).message


def test_a_job_whose_process_was_killed_is_told_too(
    make_backend: Callable[..., Backend], hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = make_backend()
    backend.setup()
    notices(backend).send_to("1", hooks.url)
    services = backend.services
    runner = services.jobs._runner
    monkeypatch.setattr(runner, "_program", (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"))
    job = services.jobs.enqueue("1", "train", "a test")

    def over() -> bool:
        runner._step()
        return not services.jobs.get("1", job.id).active

    assert wait_for(over)
    assert wait_for(lambda: len(hooks.notices) == 1)
    assert "Its process was killed" in hooks.notices[0]["message"]


# --- what the script of every page asks


def test_the_script_is_told_how_jobs_stand(connected: Backend) -> None:
    answer = connected.client.get("/projects/1/jobs.json")
    assert answer.json == {"active": [], "ended": None}
    assert answer.headers["Cache-Control"] == "no-store"
    first = ended(connected)
    store = connected.services.store
    job = connected.services.jobs.enqueue("1", "train", "a test")
    store.jobs.begin(job.id, "Starting.")
    store.jobs.report(job.id, "training", message="Learning.", progress=0.378, seconds_left=None)
    state = connected.client.get("/projects/1/jobs.json").json
    assert state == {
        "active": [
            {
                "id": job.id,
                "kind": "Training",
                "state": "training",
                "percent": 37,
                "message": "Learning.",
                "page": f"/projects/1/training/{job.id}",
            }
        ],
        "ended": {
            "id": first.id,
            "kind": "Training",
            "state": "done",
            "percent": 100,
            "message": "v1 serves.",
            "page": f"/projects/1/training/{first.id}",
        },
    }
    assert connected.client.get("/projects/2/jobs.json").status_code == 404


def test_every_page_of_a_project_has_the_script(connected: Backend) -> None:
    for route in ("/projects/1", TRAINING, "/projects/1/gallery"):
        assert 'data-jobs="/projects/1/jobs.json"' in page(connected, route)
    for variant in ("busy", "done", "failed"):
        assert connected.client.get(f"/static/icon-{variant}.svg", buffered=True).status_code == 200


def test_every_kind_of_job_has_a_name() -> None:
    assert set(KINDS) == set(get_args(JobKind))
