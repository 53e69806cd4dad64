"""Removing a project with all that is kept of it: what that is, asked first, and typed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.words import count
from adclick_backend.errors import ApiError
from adclick_backend.services import Services
from adclick_backend.store import DiskError
from adclick_backend.store.generated import GeneratedFiles
from adclick_backend.store.removal import BEGUN, take_away

PATIENCE_S = 15.0
"""So long the end of a job is waited for; whoever watches over it gives it ten seconds."""

POLL_S = 0.2


class RemovalError(RuntimeError):
    """A project cannot be removed now; the message says why and what to do."""


@dataclass(frozen=True)
class Removal:
    """What would go; ``problem`` says why it did not."""

    name: str  # to be typed
    kept: Sequence[str]  # what is kept of the project, in words
    megabytes: float
    gone: bool  # Label Studio does not have it any more
    label_studio: str  # where it is in Label Studio; "" when that is not known
    problem: str = ""


def look_at(services: Services, project: str, name: str, *, problem: str = "") -> Removal:
    """Gather what is kept of a project."""
    store = services.store
    files = GeneratedFiles(services.files)
    generated = sum(len(files.pictures(project, key)) for key in files.types(project).values())
    reports = sum(name.endswith(".html") for name in services.files.names(f"projects/{project}/reports"))
    numbers = (
        (len(store.references.of_project(project)), "reference"),
        (len(store.gallery.images(project)), "labelled image"),
        (generated, "generated picture"),
        (len(services.registry.list(project)), "trained version"),
        (reports, "report"),
        (len(services.jobs.of_project(project)), "job"),
    )
    size = services.files.size(f"projects/{project}")
    return Removal(
        name,
        [count(number, noun) for number, noun in numbers if number],
        size / 1e6,
        services.links.ask(project).gone,
        store.projects.get(project).hostname,
        problem,
    )


def remove(services: Services, project: str) -> None:
    """End the jobs of a project and remove what is kept of it.

    Raises:
        RemovalError: something is being done for it that does not end, or the data folder cannot be written.
    """
    store = services.store
    try:
        if services.syncs.state(project).running:
            raise RemovalError("Its labels are being read from Label Studio; try again when that is over.")
        _end_jobs(services, project)
        store.values.set(project, BEGUN, str(time.time()))
        take_away(store.database, services.settings.data_dir, project, services.files)
        services.memory.forget_project(project)
    except (OSError, DiskError) as error:
        raise RemovalError(
            f"Not everything could be removed, so the project is still here; try again. {store.disk.failed(error)}"
        ) from error
    store.projects.forget(project)
    services.links.forget(project)


def _end_jobs(services: Services, project: str) -> None:
    """Cancel what waits or runs, and wait until it is over."""
    until = time.monotonic() + PATIENCE_S
    while active := [job for job in services.jobs.of_project(project) if job.active]:
        for job in active:
            services.jobs.cancel(project, job.id)
        if time.monotonic() > until:
            raise RemovalError(f"Job {active[0].id} is still being ended; try again in a moment.")
        time.sleep(POLL_S)


def add_removal(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    services = pages.services

    def name_of(project: str) -> str:
        return services.store.projects.get(project).title or f"Project {project}"

    @blueprint.get("/projects/<project>/remove")
    def ask_to_remove_project(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        view = look_at(services, project, name_of(project))
        return pages.show("overview", project, template="remove_project.html", view=view)

    @blueprint.post("/projects/<project>/remove")
    def remove_project(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        name, typed = name_of(project), request.form.get("name", "").strip()
        hostname = services.store.projects.get(project).hostname
        problem = ""
        if typed != name.strip():
            problem = f"You typed “{typed[:80]}”, and the project is called “{name}”: nothing was removed."
        else:
            try:
                remove(services, project)
            except RemovalError as error:
                problem = str(error)
        if problem:
            view = look_at(services, project, name, problem=problem)
            answer = pages.show("overview", project, template="remove_project.html", view=view)
            answer.status_code = 409
            return answer
        if services.store.projects.get(project).updated:  # a message of Label Studio came meanwhile
            raise ApiError(409, "conflict", f"{name} was connected again meanwhile: disconnect it first.")
        return pages.show("overview", "", template="project_removed.html", name=name, hostname=hostname)
