"""The page of a project's reports: what ``adclick evaluate`` wrote about its versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, send_file
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.pages import Pages
from adclick_backend.errors import ApiError

# A report carries its own style and pictures, and is kept away from the forms of the dashboard.
REPORT_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Report:
    """An HTML file."""

    name: str  # of the file, without its suffix
    path: Path
    written: float  # Unix seconds


def list_reports(folder: Path) -> Sequence[Report]:
    """The reports in a folder, the newest first; none when it is not there."""
    found = [Report(path.stem, path, path.stat().st_mtime) for path in folder.glob("*.html")]
    return sorted(found, key=lambda report: report.written, reverse=True)


def add_reports(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    projects = pages.services.settings.data_dir / "projects"

    def find(project: str) -> Sequence[Report]:
        return list_reports(projects / project / "reports")

    @blueprint.get("/projects/<project>/reports")
    def reports(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        return pages.show("reports", project, reports=find(project))

    @blueprint.get("/projects/<project>/reports/<name>")
    def report(project: str, name: str) -> ResponseReturnValue:
        for report in find(pages.known(project)):
            if report.name == name:
                answer = send_file(report.path.resolve(), mimetype="text/html", conditional=True)
                answer.headers["Content-Security-Policy"] = REPORT_POLICY
                return answer
        raise ApiError(404, "not_found", "There is no such report.")
