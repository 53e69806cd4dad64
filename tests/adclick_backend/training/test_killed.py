"""SIGKILL of the training process and of the server, at moments of a training that a seed chose."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adclick_backend.store import Job
from adclick_backend.store.versions import Registry
from adclick_backend.workers import process as training_process
from tests.helpers.backend import Backend
from tests.helpers.references import wait_for
from tests.helpers.training import TrainingEngine, label_images, trainer
from tests.helpers.versions import publish

PATHS = f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
PROCESS = (
    PATHS
    + """
from adclick_backend.services import Services
from adclick_backend.workers.process import main
from tests.helpers.training import TrainingEngine, trainer

def services(settings):
    made = Services(settings, TrainingEngine())
    made.connections.label_studio("1")._transport._sleep = lambda seconds: None  # Label Studio is away
    return made

main(sys.argv[1:], make_services=services, trainers=trainer(0.9, steps=8, pause=0.2))
"""
)
SERVER = (
    PATHS
    + """
import time
from pathlib import Path
from adclick_backend.jobs.queue import Jobs
from adclick_backend.settings import Settings
from adclick_backend.store import Store

settings = Settings(data_dir=Path(sys.argv[1]))
Jobs(Store(settings.data_dir), settings, (sys.executable, "-c", sys.argv[2])).start()
print("serving", flush=True)
time.sleep(600)
"""
)
MOMENTS = 4


@contextmanager
def server(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs jobs, killed in the end."""
    words = [sys.executable, "-c", SERVER, str(data_dir), PROCESS]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "serving\n"
        yield process
        process.kill()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def begin(backend: Backend) -> tuple[Job, int]:
    """Ask for a training and wait for its process."""
    job = backend.services.jobs.enqueue("1", "train", "test")

    def pid() -> int:
        return backend.services.jobs.get("1", job.id).pid or 0

    assert wait_for(lambda: pid() > 0)
    return job, pid()


def ended(backend: Backend, job: Job) -> Job:
    assert wait_for(lambda: not backend.services.jobs.get("1", job.id).active)
    return backend.services.jobs.get("1", job.id)


def snapshot(backend: Backend) -> object:
    """All that people said: annotated tasks, and their images."""
    rows = backend.services.store.labels.of_project("1")
    return [(row.task_id, row.annotations, row.url, row.sha) for row in rows]


def test_kills_lose_nothing_and_the_last_good_version_serves(tmp_path: Path) -> None:
    """Reliability row 18: SIGKILL of the training process and of the server at random moments of a training."""
    backend = Backend(tmp_path, TrainingEngine())
    label_images(backend)
    backend.services.connections.label_studio("1")._transport._sleep = lambda seconds: None
    backend.sync()
    registry = backend.services.registry
    first = backend.services.jobs.enqueue("1", "train", "test")
    backend.services.store.jobs.begin(first.id, "Starting.")
    training_process._run(first.id, backend.services, trainer(0.8))
    label_images(backend, 1, normal=0, first=20)  # so that there is something new to learn
    backend.sync()
    labelled, rng, killed = snapshot(backend), random.Random(18), []
    for moment in range(MOMENTS):
        good = registry.serving_name("1")
        with server(backend.settings.data_dir) as runner:
            job, process = begin(backend)
            _wait_until(backend, job, rng.random())
            victim = runner.pid if moment % 2 else process
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)
            if victim == runner.pid:
                assert wait_for(lambda process=process: not is_alive(process))  # type: ignore[misc]
            else:
                after = ended(backend, job)
        if victim == runner.pid:
            with server(backend.settings.data_dir):
                after = ended(backend, job)
        assert (after.state, bool(after.message)) == ("failed", True), after
        assert snapshot(backend) == labelled
        _check_versions(registry, good)
    with server(backend.settings.data_dir):
        job, _ = begin(backend)
        assert ended(backend, job).state == "done"
    assert registry.serving_name("1") != good
    assert len(killed) == MOMENTS
    backend.close()


def _wait_until(backend: Backend, job: Job, share: float) -> None:
    """Wait until the training is about so far, or over."""
    limit = 0.85 * share
    wait_for(lambda: (now := backend.services.jobs.get("1", job.id)).progress >= limit or not now.active)


def _check_versions(registry: Registry, good: str) -> None:
    """The version that served before still does, and every version that is listed is whole."""
    assert registry.serving_name("1") == good
    assert not [version.damage for version in registry.list("1") if version.damage]


def test_a_kill_while_a_version_is_published_leaves_no_half_of_it(tmp_path: Path) -> None:
    """Reliability row 18: no half version is visible, and the next training takes its name."""
    program = (
        PATHS
        + """
import os, shutil, signal
from pathlib import Path
from adclick_backend.store.versions import Registry
from tests.helpers.versions import candidate

copy = shutil.copytree
def dies(source, target):
    copy(source, target)
    (Path(target) / "weights.safetensors").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
shutil.copytree = dies
data = Path(sys.argv[1])
Registry(data, "fake-1").publish("1", candidate(data / "candidate"), "v2")
"""
    )
    registry = Registry(tmp_path, "fake-1")
    publish(registry, tmp_path, "1")
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [version.name for version in registry.list("1")] == ["v1"]
    assert registry.serving_name("1") == "fake-1+p1-v1"
    assert publish(registry, tmp_path, "1").name == "v2"
    assert time.time() - registry.list("1")[0].created < 60
