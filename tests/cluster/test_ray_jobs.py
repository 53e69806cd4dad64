"""Jobs on a Ray cluster on loopback whose nodes and whose head are killed under them."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adclick_backend.jobs.queue import Jobs
from adclick_backend.store import Job, Store
from tests.helpers.backend import Backend
from tests.helpers.ray_cluster import QUICK, RayCluster, ray_cluster
from tests.helpers.training import TrainingEngine, label_images

pytestmark = pytest.mark.cluster

PATHS = f"import sys\nsys.path[:0] = [{str(QUICK)!r}, {str(Path(__file__).parents[2])!r}]\n"
THERE = (
    PATHS
    + """
import os
from adclick_backend.services import Services
from adclick_backend.workers.process import main
from tests.helpers.training import TrainingEngine, trainer

def services(settings):
    made = Services(settings, TrainingEngine())
    made.connections.label_studio("1")._transport._sleep = lambda seconds: None  # Label Studio is away
    return made

print("pid", os.getpid(), "threads", os.environ["OMP_NUM_THREADS"], flush=True)
sys.exit(main(sys.argv[1:], make_services=services, trainers=trainer(0.9, steps=STEPS, pause=0.1)))
"""
)
HERE = """
from adclick_backend.workers import elsewhere, process
elsewhere.job_words = lambda job: ["-c", THERE, "--job", str(job)]
sys.exit(process.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(2) as started:
        yield started


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    backend = Backend(tmp_path, TrainingEngine())
    label_images(backend)
    backend.services.connections.label_studio("1")._transport._sleep = lambda seconds: None
    backend.sync()
    yield backend
    backend.close()


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    """Ray takes a while on a busy machine."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False


class Runner:
    """Runs the jobs of a backend on a cluster."""

    def __init__(self, backend: Backend, address: str, steps: int) -> None:
        settings = backend.settings.model_copy(update={"ray_address": address, "training_threads": 1})
        there = THERE.replace("STEPS", str(steps))
        program = (sys.executable, "-c", f"{PATHS}\nTHERE = {there!r}\n{HERE}")
        self._store = Store(settings.data_dir)
        self.jobs = Jobs(self._store, settings, program)

    def __enter__(self) -> Jobs:
        self.jobs.start()
        return self.jobs

    def __exit__(self, *error: object) -> None:
        self.jobs.stop()
        self._store.close()


def now(jobs: Jobs, job: Job) -> Job:
    return jobs.get("1", job.id)


def ended(jobs: Jobs, job: Job) -> Job:
    assert wait_for(lambda: not now(jobs, job).active), (now(jobs, job), jobs.log("1", job.id))
    return now(jobs, job)


def test_a_training_runs_on_a_node_and_its_log_and_curve_are_here(
    cluster: RayCluster, backend: Backend
) -> None:
    with Runner(backend, cluster.address, 3) as jobs:
        done = ended(jobs, jobs.enqueue("1", "train", "test"))
        assert (done.state, done.version, done.progress) == ("done", "v1", 1.0), jobs.log("1", done.id)
        assert "Runs on the node" in jobs.log("1", done.id)
        assert "threads 1" in jobs.log("1", done.id)
        shares = [point["progress"] for point in jobs.curve("1", done.id)]
        assert len(shares) > 3 and shares == sorted(set(shares))
        assert "\x1e" not in jobs.log("1", done.id)
    assert backend.services.registry.serving_name("1") == "fake-1+p1-v1"


def begun(jobs: Jobs, job: Job, times: int = 1) -> int:
    """Wait until the job's process runs on a node for so many times; its pid."""
    found: list[str] = []

    def runs() -> bool:
        found[:] = re.findall(r"^pid (\d+)", jobs.log("1", job.id), re.MULTILINE)
        return len(found) >= times and now(jobs, job).state == "training"

    assert wait_for(runs), (now(jobs, job), jobs.log("1", job.id))
    return int(found[-1])


def test_a_training_goes_on_elsewhere_when_its_node_dies(cluster: RayCluster, backend: Backend) -> None:
    with Runner(backend, cluster.address, 60) as jobs:
        job = jobs.enqueue("1", "train", "test")
        cluster.kill_node_of(begun(jobs, job))
        assert backend.services.registry.current("1") is None
        done = ended(jobs, job)
        assert (done.state, done.version) == ("done", "v1"), (done, jobs.log("1", job.id))
        assert "The node was lost" in jobs.log("1", job.id)
        assert len(re.findall(r"^pid", jobs.log("1", job.id), re.MULTILINE)) == 2
    assert [version.name for version in backend.services.registry.list("1")] == ["v1"]


def test_a_cancelled_job_ends_on_its_node(cluster: RayCluster, backend: Backend) -> None:
    with Runner(backend, cluster.address, 2000) as jobs:
        job = jobs.enqueue("1", "train", "test")
        process = begun(jobs, job)
        assert jobs.cancel("1", job.id)
        assert ended(jobs, job).state == "cancelled"
        assert wait_for(lambda: not Path(f"/proc/{process}").exists())


def test_a_job_waits_for_a_head_that_was_killed_and_goes_on(cluster: RayCluster, backend: Backend) -> None:
    """The job that runs, and the one that waits behind it; no process of the old cluster goes on beside the new one."""
    with Runner(backend, cluster.address, 60) as jobs:
        job, waiting = jobs.enqueue("1", "train", "test"), jobs.enqueue("2", "train", "test")
        first = begun(jobs, job)
        cluster.kill_head()
        cluster.kill_node(0)
        cluster.kill_node(1)
        assert wait_for(lambda: "The job goes on when it is back" in now(jobs, job).message), now(jobs, job)
        assert not Path(f"/proc/{first}").exists()
        assert jobs.get("2", waiting.id).state == "queued"
        cluster.start_head()
        cluster.add_node()
        done = ended(jobs, job)
        assert (done.state, done.version) == ("done", "v1"), (done, jobs.log("1", job.id))
        assert wait_for(lambda: not jobs.get("2", waiting.id).active)


def test_a_node_with_another_release_is_named(
    cluster: RayCluster, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        globals(), "PATHS", PATHS + "import adclick_runtime\nadclick_runtime.__version__ = '0.0.1'\n"
    )
    with Runner(backend, cluster.address, 3) as jobs:
        done = ended(jobs, jobs.enqueue("1", "train", "test"))
        assert done.state == "failed"
        assert "runs adclick-backend" in done.message, jobs.log("1", done.id)
        assert "this backend 0.0.1" in done.message
