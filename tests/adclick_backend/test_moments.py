"""Clocks that are set forward or back by hours, and machines that sleep (row "clock steps, sleep")."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adclick_backend.dashboard.words import ago
from adclick_backend.jobs.files import JobFiles
from adclick_backend.jobs.runner import JobRunner
from adclick_backend.moments import has_come, is_within
from adclick_backend.references.syncing import DUE, KEY, STALE_S
from adclick_backend.settings import Settings
from adclick_backend.store import Job, Store
from tests.helpers.backend import Backend, annotation, point, task
from tests.helpers.clock import Clock

HOURS = 3 * 3600.0
STEPS = (-HOURS, HOURS)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The wall clock."""
    clock = Clock(time.time())
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    made = Backend(tmp_path)
    made.setup()
    yield made
    made.close()


class Watched:
    """A runner that is driven step by step, with a training that does nothing."""

    def __init__(self, folder: Path) -> None:
        self.store, self.clock = Store(folder), Clock(1000.0)
        settings = Settings(data_dir=folder)
        program = (sys.executable, "-c", "import sys; sys.stdin.read()")
        self.runner = JobRunner(
            table=self.store.jobs,
            files=JobFiles(folder),
            settings=settings,
            locks=self.store.locks,
            program=program,
            clock=self.clock,
        )
        self.job = self.store.jobs.enqueue("1", "train", "dashboard", "Waiting.")
        self.runner._step()

    def says_something(self) -> None:
        self.store.jobs.report(self.job.id, "training", message="Going on.", progress=0.5, seconds_left=None)

    def after(self, seconds: float) -> Job:
        """The job when so many seconds have passed; the runner looks twice a second, here less often."""
        self.clock.now += seconds
        self.runner._step()
        found = self.store.jobs.find(self.job.id)
        assert found
        return found


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path / "jobs")
    yield made
    made.runner._end(lost=False)
    made.store.close()


@pytest.mark.parametrize("step", STEPS)
def test_a_training_goes_on_when_the_clock_is_set(watched: Watched, wall: Clock, step: float) -> None:
    """Also one that has just begun and not said anything."""
    assert watched.after(1).active
    wall.now += step
    assert watched.after(1).active
    watched.says_something()
    assert watched.after(899).active
    wall.now -= step
    assert watched.after(1).active


def test_a_training_goes_on_after_a_sleep_of_the_machine(watched: Watched, wall: Clock) -> None:
    """The wall clock goes on meanwhile; the clock of the runner, as Linux and macOS keep it, does not."""
    watched.says_something()
    assert watched.after(1).active
    wall.now += 8 * 3600
    assert watched.after(0.5).active


def test_a_training_that_says_nothing_for_long_is_ended(watched: Watched, wall: Clock) -> None:
    """The wall clock may stand still meanwhile."""
    watched.says_something()
    assert watched.after(10).active
    assert watched.after(890).active
    ended = watched.after(20)
    assert ended.state == "failed"
    assert "It said nothing for 15 minutes" in ended.message


@pytest.mark.parametrize("step", STEPS)
def test_clicks_of_an_object_belong_together_across_a_step(
    backend: Backend, wall: Clock, step: float
) -> None:
    url = backend.draw("a.png", [(10, 10, 200)])
    first = backend.click(task(url), [point(10, 10)]).json["results"][0]["result"][0]
    wall.now += step
    second = backend.click(task(url), [point(2, 40, name="kp2", positive=False)])
    assert second.json["results"][0]["result"][0]["id"] == first["id"]


def test_clicks_from_before_the_machine_was_started_again_are_forgotten(backend: Backend) -> None:
    url = backend.draw("a.png", [(10, 10, 200)])
    first = backend.click(task(url), [point(10, 10)]).json["results"][0]["result"][0]
    with closing(sqlite3.connect(backend.settings.data_dir / "clicks.sqlite3")) as database:
        database.execute("UPDATE clicked_objects SET touched = touched + 86400")
        database.commit()
    second = backend.click(task(url), [point(10, 10, name="kp2")])
    assert second.json["results"][0]["result"][0]["id"] != first["id"]


@pytest.mark.parametrize("step", STEPS)
def test_a_synchronisation_that_runs_is_not_begun_twice(backend: Backend, wall: Clock, step: float) -> None:
    syncs = backend.services.syncs
    syncs._say("1", "Asking Label Studio.", running=True)
    wall.now += step
    assert syncs.state("1").running
    assert syncs.start("1") is None


def test_a_synchronisation_that_died_is_known_to_whatever_the_clock_is_set(
    backend: Backend, wall: Clock
) -> None:
    syncs = backend.services.syncs
    syncs._say("1", "Asking Label Studio.", running=True)
    wall.now -= HOURS
    syncs._clock = Clock(time.monotonic() + STALE_S + 1)
    assert "interrupted" in syncs.state("1").sentence
    syncs._clock = Clock(10.0)  # after a restart of the machine
    assert "interrupted" in syncs.state("1").sentence


def test_what_an_earlier_release_said_of_a_synchronisation_is_understood(backend: Backend) -> None:
    backend.services.store.values.set("1", KEY, f'{{"sentence": "x", "running": true, "at": {time.time()}}}')
    assert "interrupted" in backend.services.syncs.state("1").sentence


@pytest.mark.parametrize("step", STEPS)
def test_what_was_put_off_is_done_soon_after_a_step(backend: Backend, wall: Clock, step: float) -> None:
    """References, annotations to be read back, and synchronisations, each put off by a minute at most."""
    store, syncs = backend.services.store, backend.services.syncs
    added = backend.services.references.add("1", b"no image", source="upload")
    store.references.settle(added, "pending", reason="away", retry_at=wall.now + 60)
    store.annotations.ask_checks("1", [5], most=1)
    store.annotations.end_checks(store.annotations.next_checks(), retry_at=wall.now + 60)
    syncs._plan("1", 60)
    assert store.references.next_pending() is None
    assert store.annotations.next_checks() == []
    wall.now += step
    assert store.references.next_pending()
    assert store.annotations.next_checks()
    assert has_come(float(store.values.get("1", DUE) or 0), 3600)


def test_label_studio_outranks_what_was_heard_before_the_clock_was_set_back(
    backend: Backend, wall: Clock
) -> None:
    """A deletion that was announced then does not hide for hours what is there now."""
    labels = backend.services.labels
    backend.webhook("TASKS_DELETED", tasks=[{"id": 1}])
    wall.now -= HOURS
    raw = {"id": 1, "data": {"image": "/data/upload/1/a.png"}, "annotations": [annotation(3)]}
    labels.mirror("1", raw, wall.now)
    assert backend.services.store.labels.some("1", [1])


@pytest.mark.parametrize("step", STEPS)
def test_what_was_deleted_can_be_brought_back_after_a_step(
    backend: Backend, wall: Clock, step: float
) -> None:
    backend.webhook(
        "ANNOTATION_CREATED",
        annotation=annotation(3),
        task={"id": 1, "data": {"image": "/data/upload/1/a.png"}},
    )
    backend.webhook("TASKS_DELETED", tasks=[{"id": 1}])
    wall.now += step
    store = backend.services.store
    store.labels.purge()
    assert [number for number, _ in store.labels.deleted("1")] == [1]
    assert backend.services.labels.restore("1", 1)


def test_the_newest_problem_is_shown_after_the_clock_was_set_back(backend: Backend, wall: Clock) -> None:
    problems = backend.services.store.problems
    for number in range(problems.KEPT):
        problems.add("1", f"Before {number}.")
    wall.now -= HOURS
    problems.add("1", "After.")
    assert problems.latest("1")[0].sentence == "After."


def test_moments_in_the_future(wall: Clock) -> None:
    assert is_within(90.0, 10, now=95.0)
    assert not is_within(90.0, 10, now=101.0)
    assert not is_within(90.0, 10, now=89.0)
    assert has_come(90.0, 60, now=91.0)
    assert not has_come(90.0, 60, now=80.0)
    assert has_come(90.0, 60, now=20.0)
    assert ago(wall.now + HOURS) == "just now"
