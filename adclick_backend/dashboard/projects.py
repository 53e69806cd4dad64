"""The list of projects, and which of them the home page leads to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.overview import show_overview
from adclick_backend.dashboard.pages import LAST_PROJECT, Pages
from adclick_backend.dashboard.words import count
from adclick_backend.services import Services
from adclick_backend.store import Project

WORKING = {"train": "training", "push": "updating predictions", "masks": "computing masks"}


@dataclass(frozen=True)
class ProjectLine:
    """A project in the list.

    Attributes:
        project: its id and title.
        words: what it has so far.
        working: the kind of work that goes on; "" for none.
    """

    project: Project
    words: str
    working: str


def list_projects(services: Services, projects: Sequence[Project]) -> list[ProjectLine]:
    """What the list says of each project."""
    lines = []
    for project in projects:
        ready = {
            (one.product, one.sha)
            for one in services.store.references.of_project(project.id)
            if one.state == "ready"
        }
        version = services.registry.current(project.id)
        serving = f"version {version.name} serves" if version else "no trained version serves"
        active = [job.kind for job in services.jobs.of_project(project.id) if job.active]
        lines.append(
            ProjectLine(
                project,
                f"{count(len(ready), 'reference')}, {serving}",
                WORKING.get(active[0], "at work") if active else "",
            )
        )
    return lines


def add_projects(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""

    @blueprint.get("/")
    def home() -> ResponseReturnValue:
        known = [project.id for project in pages.projects()]
        last = request.cookies.get(LAST_PROJECT, "")
        if last in known:
            return redirect(url_for("dashboard.overview", project=last))
        if len(known) == 1:
            return redirect(url_for("dashboard.overview", project=known[0]))
        return redirect(url_for("dashboard.projects")) if known else show_overview(pages, "")

    @blueprint.get("/projects")
    def projects() -> ResponseReturnValue:
        lines = list_projects(pages.services, pages.projects())
        return pages.show("overview", "", template="projects.html", lines=lines)
