"""The page of a project's reports: what ``adclick evaluate`` wrote about its versions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from flask import Blueprint, send_file, url_for
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.training import job_page
from adclick_backend.errors import ApiError
from adclick_backend.store import project_id
from adclick_backend.store.database import KEPT_S
from adclick_backend.store.files import Files

# A report carries its own style and pictures, and is kept away from the forms of the dashboard.
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)

REMOVED = "removed"  # folder of the reports that can be put back, each named by when it was removed


@dataclass(frozen=True)
class Report:
    """An HTML file."""

    name: str  # of the file, without its suffix
    file: str  # its name among the files
    written: float  # Unix seconds


@dataclass(frozen=True)
class Removed:
    """A report that was taken out and can be put back."""

    key: str  # of its file, without its suffix
    name: str
    file: str
    at: float  # Unix seconds


def list_reports(files: Files, project: str) -> Sequence[Report]:
    """The reports of a project, the newest first."""
    folder, found = _folder(project), []
    for name in _pages(files, folder):
        with suppress(FileNotFoundError):  # removed just now
            file = f"{folder}/{name}.html"
            found.append(Report(name, file, time.time() - files.age(file)))
    return sorted(found, key=lambda report: report.written, reverse=True)


def removed_reports(files: Files, project: str) -> Sequence[Removed]:
    """The reports of a project that a person removed in the last 30 days, the latest first."""
    folder, found = f"{_folder(project)}/{REMOVED}", []
    for key in _pages(files, folder):
        at, _, name = key.partition("-")
        if at.isdecimal() and name and int(at) > time.time() - KEPT_S:
            found.append(Removed(key, name, f"{folder}/{key}.html", float(at)))
    return sorted(found, key=lambda one: -one.at)


def remove_report(files: Files, project: str, report: Report) -> Removed:
    """Take a report out; what was removed longer than 30 days ago goes for good."""
    gone = f"{_folder(project)}/{REMOVED}"
    kept, there = {one.key for one in removed_reports(files, project)}, set(_pages(files, gone))
    for key in there - kept:
        files.delete(f"{gone}/{key}.html")
    at = int(time.time())
    while (key := f"{at}-{report.name}") in there:
        at += 1
    files.move(report.file, f"{gone}/{key}.html")
    return Removed(key, report.name, f"{gone}/{key}.html", float(at))


def _folder(project: str) -> str:
    return f"projects/{project_id(project)}/reports"


def _pages(files: Files, folder: str) -> Sequence[str]:
    """The names of the HTML files in a folder, without the ending."""
    return [name.removesuffix(".html") for name in files.names(folder) if name.endswith(".html")]


def add_reports(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    files = pages.services.files

    def named(project: str, name: str) -> Report:
        for report in list_reports(files, pages.known(project)):
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
            reports=list_reports(files, project),
            removed=removed_reports(files, project),
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
        answer = send_file(
            files.path(named(project, name).file).resolve(), mimetype="text/html", conditional=True
        )
        answer.headers["Content-Security-Policy"] = REPORT_POLICY
        return answer

    @blueprint.get("/projects/<project>/reports/<name>/remove")
    def ask_to_remove_report(project: str, name: str) -> ResponseReturnValue:
        found = named(project, name)
        return pages.show("reports", pages.known(project), template="remove_report.html", report=found)

    @blueprint.post("/projects/<project>/reports/<name>/remove", endpoint="remove_report")
    def remove(project: str, name: str) -> ResponseReturnValue:
        removed = remove_report(files, pages.known(project), named(project, name))
        back = url_for("dashboard.put_report_back", project=project, key=removed.key)
        return pages.back(
            "reports", project, said=f"The report {name} was removed.", undo=(back, "Put it back")
        )

    @blueprint.post("/projects/<project>/reports/removed/<key>/put-back")
    def put_report_back(project: str, key: str) -> ResponseReturnValue:
        project = pages.known(project)
        for one in removed_reports(files, project):
            if one.key == key:
                there = f"{_folder(project)}/{one.name}.html"
                if files.exists(there):
                    raise ApiError(
                        409,
                        "conflict",
                        f"There is a newer report {one.name}: remove that one first, it is kept too.",
                    )
                files.move(one.file, there)
                return pages.back("reports", project, said=f"The report {one.name} is back.")
        raise ApiError(404, "not_found", "There is no such removed report.")
