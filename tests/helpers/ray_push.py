"""*Update all predictions* on a Ray cluster, with a Label Studio of this process and an engine that sleeps.

Workers import this module on their nodes.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adclick_backend.engine.bank import ImageKey, ReferenceBank
from adclick_backend.engine.engine import Engine
from adclick_backend.jobs.queue import Jobs
from adclick_backend.jobs.runner import PROGRAM
from adclick_backend.services import Services
from adclick_backend.settings import Settings
from adclick_backend.store import Job
from adclick_backend.store.proposal_source import ProposalSource
from adclick_backend.workers.task_predictor import TaskPredictor
from adclick_runtime.regions import Proposals
from tests.helpers.backend import CONFIG, Backend
from tests.helpers.fake_engine import FakeEngine, Pixels
from tests.helpers.fake_label_studio import LEGACY_TOKEN, FakeLabelStudio
from tests.helpers.ray_cluster import QUICK
from tests.helpers.references import png

PATHS = f"import sys\nsys.path[:0] = [{str(QUICK)!r}, {str(Path(__file__).parents[2])!r}]\n"
SECONDS = "ADCLICK_TEST_SECONDS"
"""Environment variable of the nodes: how long an image takes."""

HERE = (
    PATHS
    + """
from adclick_backend.services import Services
from adclick_backend.workers import process
from tests.helpers.ray_push import SleepingEngine, sleeping_predictor

process.predictor_of = sleeping_predictor
sys.exit(process.main(sys.argv[1:], make_services=lambda settings: Services(settings, SleepingEngine())))
"""
)


class SleepingEngine(FakeEngine):
    """Takes its time for an image, and leaves the processor to others meanwhile."""

    def propose(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Callable[[], Pixels],
        asked: ProposalSource | None = None,
    ) -> Proposals:
        time.sleep(float(os.environ.get(SECONDS, "0")))
        return super().propose(key, bank, load, asked)


def sleeping_predictor(settings: str, project: str) -> TaskPredictor:
    """In a worker."""
    services = Services(Settings.model_validate_json(settings), SleepingEngine())  # type: ignore[arg-type]
    return TaskPredictor(project, services)


class Push:
    """A project with a version and drawn images, in a Label Studio of this process.

    Args:
        backend: whose data folder it is.
        label_studio: gets the tasks.
        jobs: run them on the cluster.
    """

    def __init__(self, backend: Backend, label_studio: FakeLabelStudio, jobs: Jobs) -> None:
        self.backend, self.label_studio, self.jobs = backend, label_studio, jobs

    def begin(self) -> Job:
        return self.jobs.enqueue("1", "push", "test")

    def now(self, job: Job) -> Job:
        return self.jobs.get("1", job.id)

    def log(self, job: Job) -> str:
        return self.jobs.log("1", job.id)

    def served(self) -> int:
        """Tasks with a prediction."""
        return sum(bool(task.get("predictions")) for task in self.label_studio.tasks)

    def versions(self) -> list[list[str]]:
        """Of each task, of which versions it has predictions."""
        tasks: list[dict[str, Any]] = self.label_studio.tasks
        return [[one["model_version"] for one in task.get("predictions", [])] for task in tasks]


@contextmanager
def push_of(
    folder: Path, tasks: int, address: str, workers: int = 0, *, real: bool = False
) -> Iterator[Push]:
    """A project with so many tasks, whose jobs run on a cluster with so many workers.

    Args:
        folder: for all files.
        tasks: how many.
        address: of the cluster.
        workers: at a time; 0 for as many as there is room for.
        real: the packaged networks look at the images, instead of an engine that sleeps.
    """
    with FakeLabelStudio() as label_studio:
        settings: dict[str, Any] = {
            "label_studio_url": label_studio.url,
            "label_studio_api_key": LEGACY_TOKEN,
            "ray_address": address,
            "ray_workers": workers,
        }
        if real:
            settings["backbone"] = "lite"
        given = Settings(data_dir=folder / "data", **settings)
        backend = Backend(folder, Engine(given) if real else None, **settings)  # type: ignore[arg-type]
        backend.setup(config=CONFIG)
        backend.services.store.projects.save("1", label_config=CONFIG)
        if real:
            for grey in (88, 90, 92):
                backend.services.references.add("1", png(grey), source="upload")
            backend.work()
        else:
            backend.serve_version()
        for number in range(1, tasks + 1):
            url = backend.draw(f"{number}.png", [(10 + number % 40, 20, 100 + number % 150)])
            label_studio.tasks.append({"id": number, "data": {"image": url}, "annotations": []})
        jobs = Jobs(
            backend.services.store,
            backend.settings,
            PROGRAM if real else (sys.executable, "-c", HERE),
        )
        jobs.start()
        try:
            yield Push(backend, label_studio, jobs)
        finally:
            jobs.stop()
            backend.close()
