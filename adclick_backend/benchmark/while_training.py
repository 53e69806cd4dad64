"""What a training costs: its time and memory, and how long a click takes while it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from adclick_backend.benchmark.session import BackendSession, SessionError
from adclick_backend.clicks.key_points import Click
from adclick_backend.store import Job, Store

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
    for number, image in enumerate(images, 1):
        session.open(project, image, number)
        session.label(project, image, number, session.regions(project, image, number, [defect], size))

    places = (
        Click(defect.x + i / 100, defect.y + i % 5, True) for i in count()
    )  # never one whose answer is kept

    def clicked() -> float:
        clicks = [defect, next(places)]
        started = time.perf_counter()
        session.regions(project, images[0], 1, clicks, size)
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
            peak = max(peak, _peak_mb(job.pid))
        return Cost(job, peak, idle, during)
    finally:
        store.close()


def _newest(store: Store, project: str) -> Job:
    jobs = [job for job in store.jobs.of_project(project) if job.kind == "train"]
    if not jobs:
        raise SessionError("Start Training started nothing; see server.log.")
    return jobs[0]


def _peak_mb(pid: int | None) -> float:
    """The most resident memory that a process ever had, in MB; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    peaks = [int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmHWM")]
    return max(peaks, default=0.0)
