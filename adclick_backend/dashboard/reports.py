"""The page of a project's reports: what ``adclick evaluate`` wrote about its versions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, send_file, url_for
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.training import job_page
from adclick_backend.errors import ApiError
from adclick_backend.store.database import KEPT_S

# A report carries its own style and pictures, and is kept away from the forms of the dashboard.
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)

REMOVED = "removed"  # folder of the reports that can be put back, each named by when it was removed


@dataclass(frozen=True)
class Report:
    """An HTML file."""

    name: str  # of the file, without its suffix
    path: Path
    written: float  # Unix seconds


@dataclass(frozen=True)
class Removed:
    """A report that was taken out and can be put back."""

    key: str  # of its file, without its suffix
    name: str
    path: Path
    at: float  # Unix seconds


def list_reports(folder: Path) -> Sequence[Report]:
    """The reports in a folder, the newest first; none when it is not there."""
    found = [Report(path.stem, path, path.stat().st_mtime) for path in folder.glob("*.html")]
    return sorted(found, key=lambda report: report.written, reverse=True)


def removed_reports(folder: Path) -> Sequence[Removed]:
    """The reports of a folder that a person removed in the last 30 days, the latest first."""
    found = []
    for path in (folder / REMOVED).glob("*.html"):
        at, _, name = path.stem.partition("-")
        if at.isdecimal() and name and int(at) > time.time() - KEPT_S:
            found.append(Removed(path.stem, name, path, float(at)))
    return sorted(found, key=lambda one: -one.at)


def remove_report(folder: Path, report: Report) -> Removed:
    """Take a report out; what was removed longer than 30 days ago goes for good."""
    gone = folder / REMOVED
    gone.mkdir(exist_ok=True)
    kept = {one.path for one in removed_reports(folder)}
    for path in gone.glob("*.html"):
        if path not in kept:
            path.unlink()
    at = int(time.time())
    while (key := gone / f"{at}-{report.name}.html").exists():
        at += 1
    report.path.rename(key)
    return Removed(key.stem, report.name, key, float(at))


def add_reports(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    projects = pages.services.settings.data_dir / "projects"

    def folder(project: str) -> Path:
        return projects / project / "reports"

    def find(project: str) -> Sequence[Report]:
        return list_reports(folder(project))

    def named(project: str, name: str) -> Report:
        for report in find(pages.known(project)):
            if report.name == name:
                return report
        raise ApiError(404, "not_found", "There is no such report.")

    @blueprint.get("/projects/<project>/reports")
    def reports(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        jobs = [job for job in pages.services.jobs.of_project(project) if job.kind == "report"]
        return pages.show(
            "reports",
            project,
            reports=find(project),
            removed=removed_reports(folder(project)),
            running=[job_page(pages.services.jobs, job) for job in jobs if job.active],
            failed=next((job for job in jobs[:1] if job.state == "failed"), None),
            serving=pages.services.registry.serving_name(project),
        )

    @blueprint.post("/projects/<project>/reports")
    def write_report(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        pages.services.jobs.enqueue(project, "report", "the dashboard")
        return pages.back("reports", project)

    @blueprint.get("/projects/<project>/reports/<name>")
    def report(project: str, name: str) -> ResponseReturnValue:
        answer = send_file(named(project, name).path.resolve(), mimetype="text/html", conditional=True)
        answer.headers["Content-Security-Policy"] = REPORT_POLICY
        return answer

    @blueprint.get("/projects/<project>/reports/<name>/remove")
    def ask_to_remove_report(project: str, name: str) -> ResponseReturnValue:
        found = named(project, name)
        return pages.show("reports", pages.known(project), template="remove_report.html", report=found)

    @blueprint.post("/projects/<project>/reports/<name>/remove", endpoint="remove_report")
    def remove(project: str, name: str) -> ResponseReturnValue:
        removed = remove_report(folder(project), named(project, name))
        back = url_for("dashboard.put_report_back", project=project, key=removed.key)
        return pages.back(
            "reports", project, said=f"The report {name} was removed.", undo=(back, "Put it back")
        )

    @blueprint.post("/projects/<project>/reports/removed/<key>/put-back")
    def put_report_back(project: str, key: str) -> ResponseReturnValue:
        project = pages.known(project)
        for one in removed_reports(folder(project)):
            if one.key == key:
                there = folder(project) / f"{one.name}.html"
                if there.exists():
                    raise ApiError(
                        409,
                        "conflict",
                        f"There is a newer report {one.name}: remove that one first, it is kept too.",
                    )
                one.path.rename(there)
                return pages.back("reports", project, said=f"The report {one.name} is back.")
        raise ApiError(404, "not_found", "There is no such removed report.")
