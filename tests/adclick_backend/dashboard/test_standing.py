"""How far a project is, and what a person should do next."""

from __future__ import annotations

from pathlib import Path

import pytest

from adclick_backend.dashboard.standing import next_step
from adclick_backend.labels.mirror import LabelCounts
from adclick_backend.store import Job
from adclick_backend.store.version import Version
from tests.helpers.backend import Backend
from tests.helpers.dashboard import page
from tests.helpers.versions import publish

NONE, SOME = LabelCounts({}, 0, 0), LabelCounts({"dent": {"clicked": 3}}, 0, 0)


def training(state: str) -> Job:
    return Job(1, "1", "train", state, "", "", 0.5, None, "", None, None, False, 0.0, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("references", "counts", "jobs", "said"),
    [
        (0, NONE, [], "Mark a few images as normal"),
        (3, NONE, [], "click a defect"),
        (4, NONE, [], "Or press Start Training: it learns what good images are like, without a label."),
        (3, SOME, [], "Press Start Training"),
        (3, SOME, [training("failed")], "Press Start Training"),
        (3, SOME, [training("queued")], "A training is running"),
    ],
)
def test_the_next_step_is_the_one_that_helps_most(
    references: int, counts: LabelCounts, jobs: list[Job], said: str
) -> None:
    assert said in next_step(references, counts, jobs, None)


def test_labels_that_nothing_has_learned_from_are_a_reason_to_train_again(tmp_path: Path) -> None:
    version = Version("v1", tmp_path, 0.0, {}, {}, serving=True)
    assert "Open the next tasks" in next_step(3, SOME, [training("done")], version)
    assert next_step(3, SOME, [training("done")], version, 1).startswith("1 image was labelled since")
    assert next_step(3, SOME, [training("cancelled")], version, 7).startswith("7 images were labelled since")
    assert "A training is running" in next_step(3, SOME, [training("training")], version, 7)


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


def test_after_a_roll_back_the_overview_and_the_versions_say_the_same(
    connected: Backend, tmp_path: Path
) -> None:
    registry, jobs = connected.services.registry, connected.services.store.jobs
    for number in (1, 2):
        publish(registry, tmp_path, "1")
        job = connected.services.jobs.enqueue("1", "train", "a test")
        jobs.begin(job.id, "Reading labels.")
        jobs.end(job.id, "done", f"Version v{number} was trained. It serves.", version=f"v{number}")
    assert "Version v2 was trained. It serves." in page(connected)
    registry.roll_back("1")
    text = page(connected)
    assert "v1 serves</span>" in text
    assert "It serves." not in text  # v2 does not any more
    assert "It brought forth v2; v1 serves." in text
    assert "Version v2 was rolled back and version v1 serves" in text
    versions = page(connected, "/projects/1/versions")
    assert "Version v1 serves</h2>" in versions and "Version v2 was rolled back: v1 serves" in versions
    registry.roll_back("1")
    text = page(connected)
    assert "none serves</span>" in text
    assert "Version v1 was rolled back and the packaged network serves" in text
    assert "Press Start Training" not in text
    registry.go_forward("1")
    registry.go_forward("1")
    assert "rolled back" not in page(connected) + page(connected, "/projects/1/versions")


def test_versions_of_which_none_ever_served_are_no_reason_to_train_for_the_first_time() -> None:
    assert "activate one on the page Versions" in next_step(3, SOME, [], None, any_trained=True)
