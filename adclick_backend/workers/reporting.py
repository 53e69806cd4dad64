"""The job that writes the report on the version that serves, as ``adclick evaluate`` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from adclick_backend.answers.loadable import loadable_version
from adclick_backend.jobs.control import JobControl, JobFailed
from adclick_backend.report.page import render
from adclick_backend.report.project_report import name_of, report_file, report_on
from adclick_backend.report.sources import Source

if TYPE_CHECKING:
    from adclick_backend.services import Services

LOOKING = 0.95
"""Share of the job that looking at the images takes; the pictures of the report are the rest."""


def run(project: str, services: Services, control: JobControl) -> str:
    """Look at every labelled image, measure, and put the report on the page Reports.

    Args:
        project: project id.
        services: of this process.
        control: of the job.

    Returns:
        What was done, as a sentence for a person.

    Raises:
        JobFailed: there is nothing to measure.
        EngineError, ImageError: with a sentence for a person.
    """
    control.report("Reading what is labelled.", 0.0, "preparing")
    version = loadable_version(project, services.registry, services.engine)

    @contextmanager
    def watch(source: Source) -> Iterator[Callable[[], object]]:
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            share = min(done / max(source.count, 1), 1.0)
            control.report(f"{source.name}: {done} of {source.count} images.", LOOKING * share)

        yield advance

    report = report_on(project, services, version, watch)
    if not report.sections:
        raise JobFailed(" ".join(["There is nothing to evaluate.", *report.remarks[:5]]))
    control.report("Drawing the pictures of the report.", LOOKING)
    services.files.put(report_file(project, version), render(report).encode())
    return f"The report on {name_of(version)} is on the page Reports."
