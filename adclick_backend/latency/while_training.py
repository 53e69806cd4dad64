"""What a training costs: its time and memory, and how long a click takes while it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from adclick_backend.latency.memory import peak_mb
from adclick_backend.latency.session import BackendSession, SessionError
from adclick_backend.store import Job, Store
from model.clicks import Click

CLICKS = 40
"""Clicks that are timed before the training."""

PAUSE_S = 0.7
"""Between two clicks, as a person makes them."""


@dataclass(frozen=True)
class Cost:
    """What a training took.

    Attributes:
        job: as it ended.
        peak_mb: the most resident memory its process ever had.
        idle: seconds of clicks before it.
        during: seconds of clicks while it ran.
    """

    job: Job
    peak_mb: float
    idle: Sequence[float]
    during: Sequence[float]

    @property
    def seconds(self) -> float:
        """From the start of the job to its end."""
        return (self.job.ended or 0) - (self.job.started or 0)

    def rows(self, labelled: int) -> list[str]:
        """A Markdown table."""
        lines = [f"| training with {labelled} labelled images | |", "|---|---|"]
        lines += [f"| how it ended | {self.job.state}: {self.job.message} |"]
        lines += [
            f"| seconds | {self.seconds:.0f} |",
            f"| peak memory of its process, MB | {self.peak_mb:.0f} |",
        ]
        for name, seconds in (("before", self.idle), ("while it runs", self.during)):
            middle, slow = 1000 * np.percentile(seconds, [50, 95])
            lines.append(f"| clicks {name}, p50 / p95 ms | {middle:.0f} / {slow:.0f} |")
        return lines


def train(
    session: BackendSession, project: str, images: Sequence[Path], size: tuple[int, int], defect: Click
) -> Cost:
    """Label images with a click each, start the training as Label Studio does, and click while it runs.

    Args:
        session: a backend that serves; the project is set up and has references.
        project: project id.
        images: defect images; the first is clicked while the training runs.
        size: width and height of all of them, pixels.
        defect: where the defect is in all of them.

    Raises:
        SessionError: a click found nothing, or no training began.
    """

    def found(number: int, clicks: Sequence[Click]) -> list[dict[str, Any]]:
        regions = session.regions(project, images[number - 1], number, clicks, size)
        if not regions:
            raise SessionError(f"No mask came back for {images[number - 1].name}; see server.log.")
        return regions

    for number, image in enumerate(images, 1):
        session.open(project, image, number)
        session.label(project, image, number, found(number, [defect]))

    # Never the same place twice: the backend keeps its answers.
    places = (Click(defect.x + i / 100, defect.y + i % 5, True) for i in count())

    def clicked() -> float:
        clicks = [defect, next(places)]
        started = time.perf_counter()
        found(1, clicks)
        return time.perf_counter() - started

    clicked()
    idle = []
    for _ in range(CLICKS):
        time.sleep(PAUSE_S)
        idle.append(clicked())
    session.start_training(project)
    store = Store(session.folder)
    try:
        during: list[float] = []
        peak = 0.0
        while (job := _newest(store, project)).active:
            time.sleep(PAUSE_S)
            during.append(clicked())
            peak = max(peak, peak_mb(job.pid) if job.pid else 0.0)
        return Cost(job, peak, idle, during)
    finally:
        store.close()


def _newest(store: Store, project: str) -> Job:
    jobs = [job for job in store.jobs.of_project(project) if job.kind == "train"]
    if not jobs:
        raise SessionError("Start Training started nothing; see server.log.")
    return jobs[0]
