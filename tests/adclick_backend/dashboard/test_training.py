"""The page of the trainings: start, watch, cancel, and how earlier ones ended."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from adclick_backend.dashboard.charts import POINTS
from adclick_backend.dashboard.training import LOG_LINES, draw_curves
from adclick_backend.jobs.files import JobFiles
from adclick_backend.store import Job
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page, send
from tests.helpers.versions import candidate

TRAINING = "/projects/1/training"


@pytest.fixture
def running(connected: Backend) -> Job:
    """A training of project 1 that is half done, as its process would have written it down."""
    jobs, table = connected.services.jobs, connected.services.store.jobs
    job = jobs.enqueue("1", "train", "Start Training in Label Studio")
    table.begin(job.id, "Reading labels.")
    table.report(job.id, "training", message="Step 5 of 10.", progress=0.5, seconds_left=200)
    files = JobFiles(connected.settings.data_dir)
    files.folder("1", job.id).mkdir(parents=True)
    for number in range(5):
        point = {"seconds": number, "progress": number / 10, "state": "training", "loss": 1 / (number + 1)}
        files.add_to_curve("1", job.id, point | ({"iou": 0.2 * number} if number % 2 else {}))
    files.log_path("1", job.id).write_text("\n".join(f"line {number}." for number in range(LOG_LINES + 50)))
    return jobs.get("1", job.id)


def test_before_any_training_the_page_says_what_it_would_do(connected: Backend) -> None:
    text = page(connected, TRAINING)
    assert "Start training</button>" in text
    assert "only replaces the old one if it is not worse" in text
    assert "None yet." in text


def test_a_training_is_started_once_and_can_be_cancelled(connected: Backend) -> None:
    for _ in range(2):
        answer = send(connected, TRAINING)
        assert (answer.status_code, answer.location) == (303, TRAINING)
    (job,) = connected.services.jobs.of_project("1")
    assert (job.state, job.kind, job.trigger) == ("queued", "train", "the dashboard")
    text = page(connected, TRAINING)
    assert "Start training</button>" not in text
    assert ">waiting</span>" in text
    assert send(connected, f"{TRAINING}/{job.id}/cancel").status_code == 303
    text = page(connected, TRAINING)
    assert ">cancelled</span>" in text
    assert "Start training</button>" in text


def test_a_running_training_is_shown_as_it_goes_on(connected: Backend, running: Job) -> None:
    live = f"{TRAINING}/{running.id}/live"
    assert f'data-live="{live}"' in page(connected, TRAINING)
    text = page(connected, live)
    assert "<html" not in text
    for shown in ("50 %", "about 3 minutes left", "Step 5 of 10.", "loss <strong>0.2</strong>", "IoU"):
        assert shown in text
    assert '<progress max="100" value="50"' in text
    assert len(re.findall("<polyline", text)) == 2
    assert f"line {LOG_LINES + 49}." in text  # the end of the log, not its beginning
    assert "line 49." not in text
    assert "data-ended" not in text
    connected.services.store.jobs.end(running.id, "failed", "The disk is full.")
    assert "data-ended" in page(connected, live)


def test_how_a_training_ended_stays_to_be_read(connected: Backend, running: Job) -> None:
    connected.services.store.jobs.end(running.id, "failed", "The disk is full, 3 GB are needed.")
    text = page(connected, TRAINING)
    assert ">failed</span>" in text
    assert "The disk is full, 3 GB are needed." in text
    assert f'href="{TRAINING}/{running.id}"' in text
    text = page(connected, f"{TRAINING}/{running.id}")
    assert "The disk is full, 3 GB are needed." in text
    assert f"line {LOG_LINES}." in text
    assert "data-live" not in text


def test_after_a_training_the_page_tells_what_was_learned(
    connected: Backend, running: Job, tmp_path: Path
) -> None:
    about = {"data": {"images": ["a", "b"], "held_out": []}, "types": ["dent"]}
    registry = connected.services.registry
    registry.publish("1", candidate(tmp_path / "v1", **about), "v1")
    said = "Version v1 was trained. It was not promoted, for it is worse."
    connected.services.store.jobs.end(running.id, "done", said, version="v1")
    text = " ".join(page(connected, TRAINING).split())
    assert f"{said} Learned from 2 images to find dent; judged by 0 other images." in text
    assert 'href="/projects/1/versions/v1"' in text
    registry.delete("1", "v1")
    text = page(connected, TRAINING)
    assert said in text
    assert 'href="/projects/1/versions/v1"' not in text


def test_the_jobs_of_another_project_are_not_shown(connected: Backend, running: Job) -> None:
    connected.setup("2.1")
    for route in (f"/projects/2/training/{running.id}", f"/projects/2/training/{running.id}/live"):
        assert connected.client.get(route).status_code == 404
    assert send(connected, f"/projects/2/training/{running.id}/cancel").status_code == 404
    assert not connected.services.jobs.get("1", running.id).cancel


def test_a_long_training_does_not_make_the_page_heavy() -> None:
    (chart,) = draw_curves([{"progress": number / 9999, "loss": 0.5} for number in range(10_000)])
    points = chart.lines[0].points.split()
    assert len(points) <= POINTS + 1
    assert points[-1].startswith(f"{chart.right},")


def test_curves_need_no_order_of_names_and_no_loss() -> None:
    assert draw_curves([]) == []
    measured = {"progress": 0.5, "state": "evaluating", "seconds": 9, "pro": 0.5, "iou": 0.25}
    assert draw_curves([measured]) == []  # one point is no curve
    (chart,) = draw_curves([measured, {**measured, "progress": 0.6, "loss": 0.1}])
    assert [(line.name, line.last) for line in chart.lines] == [("IoU", "25 %"), ("PRO", "50 %")]
