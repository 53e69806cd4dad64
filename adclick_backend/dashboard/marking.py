"""Marking tasks as normal: which would be, asked first, and the job that does it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import unquote

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from adclick_backend.dashboard.pages import Pages
from adclick_backend.dashboard.task_links import task_url
from adclick_backend.dashboard.words import count
from adclick_backend.errors import bad_request
from adclick_backend.images.addresses import image_name
from adclick_backend.label_studio.instance import LabelStudio, LabelStudioError
from adclick_backend.labels.marking import (
    MOST,
    MarkingError,
    listed,
    normal_result,
    read_numbers,
    refusal,
    wait_for,
)
from adclick_backend.services import Services

PAGE = 500  # tasks that one request asks for
LOOKED_AT = 20_000  # tasks that are looked through for a text
SHOWN = 60  # tasks of each kind on the page


@dataclass(frozen=True)
class Candidate:
    """A task that was asked for."""

    task: int
    name: str
    url: str
    refusal: str  # why it stays as it is; "" when it would be marked


@dataclass(frozen=True)
class Preview:
    """What would be done; ``problem`` says why nothing can be."""

    numbers: str
    holds: str
    marked: Sequence[Candidate] = ()
    refused: Sequence[Candidate] = ()
    problem: str = ""

    @property
    def words(self) -> str:
        """How many would be marked."""
        return count(len(self.marked), "task")

    @property
    def tasks(self) -> str:
        """Those that would be marked, for the form."""
        return listed([one.task for one in self.marked])


def preview(services: Services, project: str, numbers: str, holds: str) -> Preview:
    """Ask Label Studio for the tasks that a person named, by number or by a part of their address."""
    try:
        tasks = read_numbers(numbers)
        if not tasks and not holds:
            raise MarkingError("Name tasks by their numbers, or a part of their file names.")
        normal_result(services.labels.config(project), services.labels.vocabulary(project))
        found = list(_candidates(services, project, tasks, holds))
    except (MarkingError, LabelStudioError) as error:
        return Preview(numbers, holds, problem=str(error))
    marked = [one for one in found if not one.refusal]
    if len(marked) > MOST:
        return Preview(
            numbers,
            holds,
            problem=f"{len(marked)} tasks hold “{holds}”; mark at most {MOST} at a time: name more of their address.",
        )
    missing = sorted(set(tasks) - {one.task for one in found})
    gone = [Candidate(task, "", "", "is not in this project") for task in missing]
    return Preview(numbers, holds, marked, [one for one in found if one.refusal] + gone)


def _candidates(services: Services, project: str, tasks: Sequence[int], holds: str) -> Iterator[Candidate]:
    """The tasks with those numbers, and those whose image's address holds the text."""
    label_studio, config = services.connections.label_studio(project), services.labels.config(project)
    hostname = services.store.projects.get(project).hostname
    seen = set()
    for raw in _read(label_studio, project, tasks, everything=bool(holds)):
        number, data = int(raw["id"]), raw.get("data")
        urls = [image.url(data) for image in config.images] if isinstance(data, Mapping) else []
        named = any(holds.lower() in unquote(url).lower() for url in urls) if holds else False
        if number in seen or not (named or number in tasks):
            continue
        seen.add(number)
        name = next((image_name(url) for url in urls if url), "")
        yield Candidate(number, name, task_url(hostname, project, number), refusal(project, raw))


def _read(
    label_studio: LabelStudio, project: str, tasks: Sequence[int], *, everything: bool
) -> Iterator[dict[str, Any]]:
    """Tasks without their annotations, which may be large."""
    if everything:
        every = label_studio.tasks(project, page_size=PAGE, fields="task_only")
        yield from islice(every, LOOKED_AT)
        return
    for start in range(0, len(tasks), PAGE):
        chosen = {"all": False, "included": list(tasks[start : start + PAGE])}
        wanted = json.dumps({"selectedItems": chosen})
        yield from label_studio.tasks(project, page_size=PAGE, fields="task_only", query=wanted)


def add_marking(blueprint: Blueprint, pages: Pages) -> None:
    """Add the routes of the page."""
    services = pages.services

    @blueprint.get("/projects/<project>/normal")
    def ask_to_mark(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        if not request.args:
            return redirect(url_for("dashboard.labels", project=project))  # where the form is
        numbers, holds = (request.args.get(name, "").strip()[:4000] for name in ("tasks", "holds"))
        view = preview(services, project, numbers, holds[:200])
        return pages.show("labels", project, template="mark_normal.html", view=view, shown=SHOWN)

    @blueprint.post("/projects/<project>/normal")
    def mark_normal(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        try:
            tasks = read_numbers(request.form.get("tasks", ""))
        except MarkingError as error:
            raise bad_request(str(error), "tasks") from error
        if services.jobs.under_way(project, "normal"):
            return pages.back(
                "training", project, said="Tasks are being marked already; wait until that is done."
            )
        if tasks:
            wait_for(project, services.store, tasks)
            services.jobs.enqueue(project, "normal", "the dashboard")
        return pages.back("training", project)

    @blueprint.post("/projects/<project>/normal/forget")
    def forget_marking(project: str) -> ResponseReturnValue:
        project = pages.known(project)
        wait_for(project, services.store, ())
        return pages.back("labels", project, said="Those tasks are not marked.")
