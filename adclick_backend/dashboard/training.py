"""The page of a project's trainings: start, watch, cancel, and how the earlier ones ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, render_template
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.charts import Chart, Point, draw_chart, thinned
from adclick_backend.dashboard.comparisons import what_was_learned
from adclick_backend.dashboard.figures import words_of
from adclick_backend.dashboard.job_notices import notice_view
from adclick_backend.dashboard.labels import advise
from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.words import duration
from adclick_backend.errors import ApiError
from adclick_backend.jobs.notices import KINDS
from adclick_backend.jobs.queue import Jobs
from adclick_backend.labels.since_training import labels_since_training
from adclick_backend.store.jobs import Job
from adclick_backend.store.version import Version

LOG_LINES = 200  # of the end of a log that the page shows

STATES = {
    "queued": ("wait", "waiting"),
    "preparing": ("wait", "preparing"),
    "training": ("wait", "training"),
    "evaluating": ("wait", "evaluating"),
    "done": ("good", "done"),
    "failed": ("bad", "failed"),
    "cancelled": ("odd", "cancelled"),
}
AXES = frozenset({"seconds", "progress", "state", "loss"})  # what is no metric in a point of the curve


@dataclass(frozen=True)
class JobLine:
    """A job as a table and a heading show it."""

    job: Job
    learned: str = ""  # from how many images, when a version came of it

    @property
    def mark(self) -> str:
        """Class of the coloured mark."""
        return STATES[self.job.state][0]

    @property
    def state(self) -> str:
        """The state in a word."""
        return STATES[self.job.state][1]

    @property
    def kind(self) -> str:
        """What the job does."""
        return KINDS[self.job.kind]

    @property
    def percent(self) -> int:
        """How much is done; 100 only when all is."""
        return int(100 * self.job.progress)

    @property
    def time_left(self) -> str:
        """How long it will still take; "" when nobody knows."""
        if self.job.seconds_left is None or not self.job.active:
            return ""
        left = duration(self.job.seconds_left)
        return f"{left} left" if left.startswith("less") else f"about {left} left"

    @property
    def took(self) -> str:
        """How long it ran; "" when it never did, or still does."""
        if self.job.started is None or self.job.ended is None:
            return ""
        return duration(max(0.0, self.job.ended - self.job.started))


@dataclass(frozen=True)
class JobPage:
    """One job with its curves and the end of its log."""

    line: JobLine
    charts: Sequence[Chart]
    log: str


def list_past(jobs: Sequence[Job], versions: Sequence[Version]) -> list[JobLine]:
    """The jobs that are over, with what was learned where the version is still there."""
    learned = {version.name: what_was_learned(version.manifest) for version in versions}
    return [JobLine(job, " ".join(learned.get(job.version, [])[:1])) for job in jobs if not job.active]


def job_page(jobs: Jobs, job: Job) -> JobPage:
    """Gather what is known of a job."""
    log = jobs.log(job.project, job.id).splitlines()
    return JobPage(JobLine(job), draw_curves(jobs.curve(job.project, job.id)), "\n".join(log[-LOG_LINES:]))


def draw_curves(records: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """The loss, and the metrics on held-out images, over the share of the job that was done; one point is no curve.

    Args:
        records: what the job reported, in order: ``progress`` in [0, 1], perhaps ``loss``, and metrics by name.
    """
    loss: list[Point] = []
    metrics: dict[str, list[Point]] = {}
    for record in records:
        done = 100 * float(record["progress"])
        if record.get("loss") is not None:
            loss.append((done, float(record["loss"])))
        for name in sorted(record.keys() - AXES):
            metrics.setdefault(words_of(name), []).append((done, float(record[name])))
    metrics = {name: thinned(points) for name, points in metrics.items() if len(points) > 1}
    across = "% of the job"
    charts = (
        draw_chart("Loss", {"loss": thinned(loss) if len(loss) > 1 else []}, across=across),
        draw_chart("On held-out images", metrics, across=across, percent=True),
    )
    return [chart for chart in charts if chart is not None]


def add_training(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    jobs = pages.services.jobs

    def find(project: str, job: int) -> Job:
        try:
            return jobs.get(pages.known(project), job)
        except LookupError as error:
            raise ApiError(404, "not_found", str(error.args[0])) from error

    @blueprint.get("/projects/<project>/training")
    def training(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        found = jobs.of_project(project)
        return pages.show(
            "training",
            project,
            advice=advise(pages.services.labels.details(project)),
            since=labels_since_training(pages.services.store, project),
            running=[job_page(jobs, job) for job in found if job.active],
            past=list_past(found, pages.services.registry.list(project)),
            notices=notice_view(pages.services, project),
        )

    @blueprint.get("/projects/<project>/training/<int:job>")
    def job(project: str, job: int) -> ResponseReturnValue:
        found = find(project, job)
        return pages.show("training", found.project, template="job.html", view=job_page(jobs, found))

    @blueprint.get("/projects/<project>/training/<int:job>/live")
    def live(project: str, job: int) -> ResponseReturnValue:
        answer = Response(render_template("progress.html", view=job_page(jobs, find(project, job))))
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @blueprint.post("/projects/<project>/training")
    def start(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        jobs.enqueue(project, "train", "the dashboard")
        return pages.back("training", project)

    @blueprint.post("/projects/<project>/training/<int:job>/cancel")
    def cancel(project: str, job: int) -> ResponseReturnValue:
        found = find(project, job)
        jobs.cancel(found.project, found.id)
        return pages.back("training", found.project)
