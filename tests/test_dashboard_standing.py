"""How far a project is, and what a person should do next."""

from __future__ import annotations

import pytest
from helpers.backend import Backend
from helpers.dashboard import page

from adclick_backend.dashboard.standing import next_step
from adclick_backend.labels.mirror import LabelCounts
from adclick_backend.store import Job

NONE, SOME = LabelCounts({}, 0, 0), LabelCounts({"dent": {"clicked": 3}}, 0, 0)


def training(state: str) -> Job:
    return Job(1, "1", "train", state, "", "", 0.5, None, "", None, None, False, 0.0, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("references", "counts", "jobs", "said"),
    [
        (0, NONE, [], "Mark a few images as normal"),
        (3, NONE, [], "click a defect"),
        (3, SOME, [], "Press Start Training"),
        (3, SOME, [training("failed")], "Press Start Training"),
        (3, SOME, [training("queued")], "A training is running"),
    ],
)
def test_the_next_step_is_the_one_that_helps_most(
    references: int, counts: LabelCounts, jobs: list[Job], said: str
) -> None:
    assert said in next_step(references, counts, jobs, None)


def test_the_overview_has_a_line_for_each_page(connected: Backend) -> None:
    text = page(connected)
    for said in ("0 ready", "0 labels", "never", "none trained", "Mark a few images as normal"):
        assert said in text
    jobs = connected.services.store.jobs
    job = connected.services.jobs.enqueue("1", "train", "a test")
    jobs.begin(job.id, "Reading labels.")
    jobs.report(job.id, "training", message="Step 5 of 10.", progress=0.5, seconds_left=None)
    text = page(connected)
    assert "50 %" in text
    assert "Step 5 of 10." in text
    jobs.end(job.id, "failed", "The disk is full.")
    assert "last failed" in page(connected)
