"""The queue of jobs and the thread that runs each in a process of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adclick_backend.jobs.control import JobCancelled, JobControl
from adclick_backend.jobs.files import JobFiles
from adclick_backend.jobs.queue import JobError, Jobs
from adclick_backend.jobs.runner import CANNOT_WRITE
from adclick_backend.settings import Settings
from adclick_backend.store import Disk, Job, Store
from tests.helpers.disks import small_disk
from tests.helpers.losable_locks import LosableLocks
from tests.helpers.references import wait_for

QUICK = """
import json, sys
settings = json.loads(sys.stdin.readline())
from pathlib import Path
from adclick_backend.settings import Settings
from adclick_backend.store import Store
from adclick_backend.jobs.control import JobControl
from adclick_backend.jobs.files import JobFiles

job = int(sys.argv[sys.argv.index("--job") + 1])
settings = Settings(**settings)
store = Store(settings.data_dir)
control = JobControl(store, JobFiles(settings.data_dir), store.jobs.find(job))
"""
WORKS = (
    QUICK
    + """
import os
print("threads", os.environ["OMP_NUM_THREADS"], "group", os.getpgid(0) == os.getpid())
control.report("Learning.", 0.5, "training", loss=0.25)
store.jobs.end(job, "done", "Learned.", version="v1")
"""
)
WAITS = QUICK + "control.report('Learning.', 0.4, 'training')\nsys.stdin.read()\n"
_REPORTS = f"""
try:
    while True:
        time.sleep(0.05)
        control._said = ("", 0.0)
        control.report("Learning.", 0.5, "training")
except Exception:
    sys.exit({CANNOT_WRITE})
"""
DIES = QUICK + "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
RAISES = "raise SystemExit(7)"


@pytest.fixture
def make_jobs(tmp_path: Path) -> Iterator[Callable[..., Jobs]]:
    made: list[tuple[Jobs, Store]] = []

    def make(program: str = WORKS, **settings: object) -> Jobs:
        store = Store(tmp_path)
        given = Settings(data_dir=tmp_path, **settings)  # type: ignore[arg-type]
        made.append((Jobs(store, given, (sys.executable, "-c", program)), store))
        return made[-1][0]

    yield make
    for jobs, store in made:
        jobs.stop()
        store.close()


def state_of(jobs: Jobs, job: Job) -> str:
    return jobs.get(job.project, job.id).state


def test_asking_many_times_makes_one_job_at_once(make_jobs: Callable[..., Jobs]) -> None:
    """Reliability row 17: a webhook storm is one job of a project."""
    jobs = make_jobs()
    asked, slowest = set(), 0.0
    for _ in range(40):
        started = time.perf_counter()
        asked.add(jobs.enqueue("1", "train", "Start Training in Label Studio").id)
        slowest = max(slowest, time.perf_counter() - started)
    assert len(asked) == 1
    assert slowest < 0.5  # 0.05 on a machine that does nothing else
    assert jobs.enqueue("1", "push", "dashboard").id not in asked
    assert jobs.enqueue("2", "train", "dashboard").id not in asked
    assert [job.kind for job in jobs.of_project("1")] == ["push", "train"]


def test_asking_again_while_one_runs_makes_exactly_one_more_that_follows(
    make_jobs: Callable[..., Jobs], tmp_path: Path
) -> None:
    """The toggle that trains on every submission: what came while one ran must not be forgotten."""
    go_on = tmp_path / "go-on"
    program = QUICK + (
        "import os, time\ncontrol.report('Learning.', 0.4, 'training')\n"
        f"while not os.path.exists({str(go_on)!r}): time.sleep(0.02)\n"
        "store.jobs.end(job, 'done', 'Learned.')\n"
    )
    jobs = make_jobs(program)
    jobs.start()
    first = jobs.enqueue("1", "train", "Start Training in Label Studio", again=True)
    assert wait_for(lambda: state_of(jobs, first) == "training")
    followers = {
        jobs.enqueue("1", "train", "Start Training in Label Studio", again=True).id for _ in range(9)
    }
    assert len(followers) == 1 and first.id not in followers
    assert jobs.enqueue("1", "train", "dashboard").id in followers
    (follower,) = followers
    assert jobs.get("1", follower).state == "queued"  # never two trainings of a project at once
    go_on.touch()
    assert wait_for(lambda: not jobs.get("1", follower).active)
    assert [(job.id, job.state) for job in jobs.of_project("1")] == [(follower, "done"), (first.id, "done")]


def test_a_job_runs_in_a_process_of_its_own_with_its_own_threads(make_jobs: Callable[..., Jobs]) -> None:
    jobs = make_jobs(training_threads=3)
    jobs.start()
    job = jobs.enqueue("1", "train", "dashboard")
    assert wait_for(lambda: not jobs.get("1", job.id).active)
    ended = jobs.get("1", job.id)
    assert (ended.state, ended.message, ended.version, ended.progress) == ("done", "Learned.", "v1", 1.0)
    assert ended.created <= (ended.started or 0) <= (ended.ended or 0)
    assert jobs.log("1", job.id) == "threads 3 group True\n"
    (point,) = jobs.curve("1", job.id)
    assert (point["loss"], point["state"], point["progress"]) == (0.25, "training", 0.5)


def test_a_running_job_is_cancelled_and_its_candidate_deleted(make_jobs: Callable[..., Jobs]) -> None:
    jobs = make_jobs(WAITS)
    jobs.start()
    job = jobs.enqueue("1", "train", "dashboard")
    assert wait_for(lambda: state_of(jobs, job) == "training")
    candidate = jobs.folder("1", job.id) / "candidate"
    candidate.mkdir()
    jobs._runner._grace_s = 0.1
    assert jobs.cancel("1", job.id)
    assert wait_for(lambda: state_of(jobs, job) == "cancelled")
    assert wait_for(lambda: not candidate.exists())
    assert not jobs.cancel("1", job.id)


def test_a_waiting_job_is_cancelled_at_once(make_jobs: Callable[..., Jobs]) -> None:
    jobs = make_jobs()
    job = jobs.enqueue("1", "train", "dashboard")
    assert jobs.cancel("1", job.id)
    assert state_of(jobs, job) == "cancelled"
    assert jobs.enqueue("1", "train", "dashboard").id != job.id


@pytest.mark.parametrize(("program", "reason"), [(DIES, "was killed"), (RAISES, "ended with status 7")])
def test_a_process_that_dies_fails_its_job_with_a_reason(
    make_jobs: Callable[..., Jobs], program: str, reason: str
) -> None:
    """Reliability row 18: the worker is killed."""
    jobs = make_jobs(program)
    jobs.start()
    job = jobs.enqueue("1", "train", "dashboard")
    assert wait_for(lambda: state_of(jobs, job) == "failed")
    assert reason in jobs.get("1", job.id).message


def test_a_process_that_hangs_is_ended(make_jobs: Callable[..., Jobs]) -> None:
    jobs = make_jobs(WAITS)
    jobs._runner._silence_s = 0.5
    jobs.start()
    job = jobs.enqueue("1", "train", "dashboard")
    assert wait_for(lambda: state_of(jobs, job) == "failed")
    assert "said nothing" in jobs.get("1", job.id).message


def test_a_restart_fails_what_ran_and_goes_on_with_what_waited(make_jobs: Callable[..., Jobs]) -> None:
    """Reliability row 18: the server restarts."""
    first = make_jobs(WAITS)
    first.start()
    job = first.enqueue("1", "train", "dashboard")
    waiting = first.enqueue("2", "train", "dashboard")
    assert wait_for(lambda: state_of(first, job) == "training")
    first.stop()
    assert state_of(first, job) == "failed"
    assert "The backend was stopped" in first.get("1", job.id).message
    assert state_of(first, waiting) == "queued"
    second = make_jobs()
    second.start()
    assert wait_for(lambda: state_of(second, waiting) == "done")


def test_a_job_that_could_not_even_write_down_its_end_says_why(make_jobs: Callable[..., Jobs]) -> None:
    """Reliability row 19: the words of the process are lost, its exit status is not."""
    jobs = make_jobs(f"raise SystemExit({CANNOT_WRITE})")
    jobs.start()
    job = jobs.enqueue("1", "train", "dashboard")
    assert wait_for(lambda: state_of(jobs, job) == "failed")
    assert "The data folder could not be written" in jobs.get("1", job.id).message


def test_a_job_waits_for_a_full_disk_to_have_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reliability row 19: one that runs when it fills up fails, one that waits begins afterwards."""
    monkeypatch.setattr(Disk, "LOOK_S", 0.05)
    with small_disk(tmp_path / "data") as disk:
        store, settings = Store(disk.folder), Settings(data_dir=disk.folder)
        store.disk.watch = True
        running = WAITS.replace("sys.stdin.read()", "import time\n" + _REPORTS)
        jobs = Jobs(store, settings, (sys.executable, "-c", running))
        jobs.start()
        first = jobs.enqueue("1", "train", "dashboard")
        assert wait_for(lambda: state_of(jobs, first) == "training")
        second = jobs.enqueue("2", "train", "dashboard")
        disk.fill()
        assert wait_for(lambda: bool(store.disk.problem))
        disk.empty()
        assert wait_for(lambda: state_of(jobs, first) == "failed")
        assert "could not be written" in jobs.get("1", first.id).message
        assert wait_for(lambda: state_of(jobs, second) == "training")
        jobs.stop()
        store.close()


def test_of_two_workers_one_runs_jobs(make_jobs: Callable[..., Jobs]) -> None:
    """Reliability row 16: another worker's job is run by the one that holds the lock."""
    first, second = make_jobs(), make_jobs()
    first.start()
    second.start()
    ids = [second.enqueue(str(project), "train", "dashboard").id for project in (1, 2)]
    assert wait_for(
        lambda: all(first.get(str(p), n).state == "done" for p, n in zip((1, 2), ids, strict=True))
    )
    assert "threads" in first.log("1", ids[0])


def test_a_job_whose_runner_lost_its_lock_is_ended_in_words(tmp_path: Path) -> None:
    """Another runner may have taken over by then, so the process is gone before anything is asked."""
    store, locks = Store(tmp_path), LosableLocks()
    store.locks = locks
    jobs = Jobs(store, Settings(data_dir=tmp_path), (sys.executable, "-c", WAITS))
    jobs.start()
    job = jobs.enqueue("1", "train", "dashboard")
    assert wait_for(lambda: state_of(jobs, job) == "training")
    locks.take_away()
    assert wait_for(lambda: state_of(jobs, job) == "failed")
    assert jobs.get("1", job.id).message.startswith("The database was away while this job ran")
    following = jobs.enqueue("1", "train", "dashboard")
    assert wait_for(lambda: state_of(jobs, following) == "training")
    jobs.stop()
    assert jobs.get("1", following.id).message.startswith("The backend was stopped while this job ran")
    store.close()


def test_a_job_of_another_project_is_not_shown(make_jobs: Callable[..., Jobs]) -> None:
    """Reliability row 24: no job crosses projects."""
    jobs = make_jobs()
    job = jobs.enqueue("1", "train", "dashboard")
    for ask in (jobs.get, jobs.cancel, jobs.log, jobs.curve):
        with pytest.raises(JobError, match=f"Project 2 has no job {job.id}"):
            ask("2", job.id)


def test_a_job_that_is_over_hears_so_and_never_changes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    job = store.jobs.enqueue("1", "train", "test", "Waiting.")
    assert store.jobs.begin(job.id, "Starting.")
    files = JobFiles(tmp_path)
    control = JobControl(store, files, job)
    control.report("Reading.", 0.1, "preparing")
    store.jobs.ask_cancel(job.id, "")
    with pytest.raises(JobCancelled):
        control.report("Learning.", 0.2, "training")
    assert control.cancelled()
    assert store.jobs.end(job.id, "cancelled", "Cancelled.")
    assert not store.jobs.end(job.id, "done", "Learned.", version="v1")
    assert not store.jobs.report(job.id, "training", message="", progress=0.9, seconds_left=None)
    found = store.jobs.find(job.id)
    assert found is not None and (found.state, found.version) == ("cancelled", "")
    store.close()


def test_the_files_of_old_jobs_go(tmp_path: Path) -> None:
    store, files = Store(tmp_path), JobFiles(tmp_path)
    for _ in range(25):
        job = store.jobs.enqueue("1", "train", "test", "")
        files.candidate("1", job.id).mkdir(parents=True)
        files.log_path("1", job.id).write_text("said")
        store.jobs.end(job.id, "done", "")
        files.clear(job)
    assert (files.log("1", 1), files.log("1", 25)) == ("", "said")
    assert not files.candidate("1", 25).exists()
    store.close()
