"""The report on what a version sees in the labelled images of its project, and where the dashboard finds it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from adclick_backend.engine.bank import EngineError
from adclick_backend.report.effort import efforts
from adclick_backend.report.evaluation import evaluate
from adclick_backend.report.page import Report, Section
from adclick_backend.report.sources import Source, project_sources
from adclick_backend.services import Services
from adclick_backend.store import project_id
from adclick_backend.store.version import Version
from adclick_backend.training.training_set import build_training_set

Watch = Callable[[Source], AbstractContextManager[Callable[[], object]]]
"""A context round the images of one source; what it gives is called after each of them."""


def report_on(project: str, services: Services, version: Version | None, watch: Watch) -> Report:
    """Look at every labelled image that can be measured; a report without sections when there is none.

    Args:
        project: project id.
        services: of this process.
        version: the version to evaluate; None for what proposes without one.
        watch: see `Watch`.

    Raises:
        EngineError, ImageError, CheckpointError: with a sentence for a person.
    """
    data = build_training_set(project, services)
    sections, remarks = measured(project_sources(project, services, data, version), watch)
    spent = efforts(project, services.store, services.registry.list(project))
    name = name_of(version)
    facts = {"project": project, "version": name, "written": now()}
    title = f"Without a click: project {project}, {name}"
    return Report(title, facts, sections, spent, [*remarks, *data.skipped])


def measured(sources: Iterable[Source], watch: Watch) -> tuple[list[Section], list[str]]:
    """Everything that can be measured, and why the rest cannot."""
    sections, remarks = [], []
    for source in sources:
        with watch(source) as advance:
            try:
                evaluation = evaluate(source.images, source.look, lambda advance=advance: advance())  # type: ignore[misc]
            except EngineError as error:
                remarks.append(f"{source.name} was left out: {error}")
                continue
        sections.append(Section(source.name, source.remark, evaluation, source.named))
    return sections, remarks


def name_of(version: Version | None) -> str:
    """What the report on a version is called."""
    return version.name if version else "references-alone"


def report_file(project: str, version: Version | None) -> str:
    """The file that the report on a version is kept in; the newest takes the place of the one before."""
    return f"projects/{project_id(project)}/reports/{name_of(version)}.html"


def now() -> str:
    """The moment, for a person."""
    return time.strftime("%Y-%m-%d %H:%M")
