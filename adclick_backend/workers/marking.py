"""The job that marks tasks as normal in Label Studio, where nobody has said anything about them."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from adclick_backend.jobs.control import JobCancelled, JobControl, JobFailed
from adclick_backend.label_studio.instance import LabelStudio, LabelStudioError
from adclick_backend.labels.marking import MarkingError, normal_result, refusal, wait_for, waiting
from adclick_backend.references.reading_back import MANY

if TYPE_CHECKING:
    from adclick_backend.services import Services

log = logging.getLogger(__name__)

NAMED = 20  # tasks that were left as they are, in the sentence at the end; the log has all of them


def run(project: str, services: Services, control: JobControl) -> str:
    """Give each task that waits an annotation with the choice that means normal.

    A task that has an annotation, skipped or not, or a draft is left as it is. The list of those that wait becomes
    shorter with each, so a job that was killed goes on where it stopped; one that was cancelled leaves none.

    Args:
        project: project id.
        services: of this process.
        control: of the job.

    Returns:
        What was done, as a sentence for a person.

    Raises:
        JobFailed: Label Studio cannot be reached, or the labeling config has no such choice.
    """
    store, label_studio = services.store, services.connections.label_studio(project)
    try:
        normal_result(services.labels.config(project), services.labels.vocabulary(project))
    except MarkingError as error:
        raise JobFailed(str(error)) from error
    tasks, marked, refused = deque(waiting(project, store)), list[int](), dict[int, str]()
    total = len(tasks)
    try:
        while tasks:
            done = total - len(tasks)
            control.report(f"{done} of {total} tasks.", done / total)
            task = tasks[0]
            if reason := _mark(project, task, services, label_studio):
                refused[task] = reason
                log.info("Task %s was left as it is: it %s.", task, reason)
            else:
                marked.append(task)
            tasks.popleft()
            wait_for(project, store, tasks)
    except JobCancelled:
        wait_for(project, store, ())
        raise
    except LabelStudioError as error:
        raise JobFailed(
            f"{len(marked)} of {total} tasks are marked as normal. {error} The other {len(tasks)} wait on the page "
            "Labels: go on there."
        ) from error
    finally:
        if marked and not store.annotations.ask_checks(project, marked, MANY):
            services.syncs.ask(project)
    return said(len(marked), refused)


def said(marked: int, refused: dict[int, str]) -> str:
    """What was done, as a sentence."""
    sentence = f"{marked} task{' is' if marked == 1 else 's are'} marked as normal."
    if not refused:
        return sentence
    reasons = [f"task {task} {reason}" for task, reason in list(refused.items())[:NAMED]]
    more = [f"{len(refused) - NAMED} more"] if len(refused) > NAMED else []
    left = "One was left as it is" if len(refused) == 1 else f"{len(refused)} were left as they are"
    return f"{sentence} {left}: {'; '.join(reasons + more)}."


def _mark(project: str, task: int, services: Services, label_studio: LabelStudio) -> str:
    """Mark one task; answers why it was left as it is, "" when it was marked.

    Raises:
        LabelStudioError: Label Studio cannot be reached or asks for another key.
    """
    try:
        raw = label_studio.get(f"/api/tasks/{task}/")
        if reason := refusal(project, raw):
            return reason
        result = normal_result(services.labels.config(project), services.labels.vocabulary(project))
        body: dict[str, Any] = {"result": result, "was_cancelled": False, "ground_truth": False}
        label_studio.post(f"/api/tasks/{task}/annotations/", body)
    except LabelStudioError as error:
        if error.status == 404:
            return "is not in Label Studio"
        if error.status == 400:
            return f"was refused by Label Studio ({error})"
        raise
    return ""
