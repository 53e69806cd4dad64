"""The report that a button on the page Reports asks for, written by a job."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from adclick_backend.jobs.control import JobCancelled, JobControl, JobFailed
from adclick_backend.jobs.files import JobFiles
from adclick_backend.store import Job
from adclick_backend.workers import reporting
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, send
from tests.helpers.training import TrainingEngine, label_images
from tests.helpers.versions import candidate

REPORTS = "/projects/1/reports"


@pytest.fixture
def labelled(tmp_path: Path, make_backend: Callable[..., Backend]) -> Backend:
    """Project 1 with eight labelled images and a version that sees all of each defect."""
    made = make_backend(engine=TrainingEngine())
    label_images(made)
    made.work()
    made.services.connections.label_studio("1")._transport._sleep = lambda seconds: None
    made.sync()
    registry = made.services.registry
    registry.publish("1", candidate(tmp_path / "candidate", json.dumps({"quality": 1.0}).encode()), "v1")
    registry.activate("1", "v1")
    return made


def asked(backend: Backend) -> tuple[Job, JobControl]:
    """Press the button, and begin the job."""
    assert send(backend, REPORTS).headers["Location"] == REPORTS
    (job,) = [one for one in backend.services.jobs.of_project("1") if one.active]
    assert job.kind == "report"
    files = JobFiles(backend.settings.data_dir)
    files.folder("1", job.id).mkdir(parents=True)
    backend.services.store.jobs.begin(job.id, "Starting.")
    return job, JobControl(backend.services.store, files, job)


def test_the_button_brings_the_report_that_the_command_writes(labelled: Backend) -> None:
    job, control = asked(labelled)
    text = page(labelled, REPORTS)
    assert "A report is being written" in text
    assert f'data-live="/projects/1/training/{job.id}/live"' in text
    assert f'action="/projects/1/training/{job.id}/cancel"' in text
    assert reporting.run("1", labelled.services, control) == "The report on v1 is on the page Reports."
    found = labelled.services.store.jobs.find(job.id)
    assert found is not None
    assert 0 < found.progress <= reporting.LOOKING
    labelled.services.store.jobs.end(job.id, "done", "The report on v1 is on the page Reports.")
    text = page(labelled, REPORTS)
    assert f'href="{REPORTS}/v1"' in text
    assert "A report is being written" not in text
    answer = labelled.client.get(f"{REPORTS}/v1", buffered=True)
    assert "<td>8</td>" in answer.text
    assert "Report" in page(labelled, "/projects/1/training")


def test_a_report_can_be_cancelled(labelled: Backend) -> None:
    job, control = asked(labelled)
    labelled.services.jobs.cancel("1", job.id)
    with pytest.raises(JobCancelled):
        reporting.run("1", labelled.services, control)
    assert not (labelled.settings.data_dir / "projects/1/reports").exists()


def test_with_nothing_to_measure_it_says_why(connected: Backend) -> None:
    job, control = asked(connected)
    with pytest.raises(JobFailed, match="There is nothing to evaluate"):
        reporting.run("1", connected.services, control)
    connected.services.store.jobs.end(job.id, "failed", "There is nothing to evaluate.")
    assert "There is nothing to evaluate." in page(connected, REPORTS)
