"""Reading from Label Studio what a project and some of its tasks are now, and telling it from another Label Studio."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from adclick_backend.label_studio.instance import LabelStudio, LabelStudioError
from adclick_backend.store import Store

AT_ONCE = 100  # tasks that one request asks for

_NOTHING = "Nothing is taken from it, and nothing is deleted because of it."


class OtherLabelStudio(LabelStudioError):
    """What answers is not the Label Studio in which the project was connected; the message says why."""


def read_project(project: str, store: Store, label_studio: LabelStudio) -> None:
    """Read the project itself, before anything is believed about its tasks; title and labeling config are noted.

    Raises:
        LabelStudioError: it cannot be read.
        OtherLabelStudio: there is no such project, or one that was created at another time than the one connected.
    """
    try:
        raw = label_studio.get(f"/api/projects/{project}/")
    except LabelStudioError as error:
        if error.status != 404:
            raise
        raise OtherLabelStudio(
            f"{label_studio.url} has no project {project}, or does not show it to this API key (404). {_NOTHING} Check "
            "LABEL_STUDIO_URL, and that the user of the key is a member of the project.",
            status=404,
        ) from error
    if not isinstance(raw, dict) or str(raw.get("id")) != project:
        raise OtherLabelStudio(
            f"{label_studio.url} answers, but not as Label Studio does. {_NOTHING} Check LABEL_STUDIO_URL."
        )
    known, created = store.projects.get(project).created, _unix(raw.get("created_at"))
    if known and known != created:
        raise OtherLabelStudio(
            f"Project {project} of {label_studio.url} is not the one that was connected: it was created at "
            f"{created or '?'} and not at {known} (Unix seconds). {_NOTHING} Correct LABEL_STUDIO_URL; if this is the "
            "right Label Studio, connect the project again."
        )
    said = {name: raw.get(name) for name in ("title", "label_config")}
    store.projects.save(
        project, **{name: text for name, text in said.items() if isinstance(text, str) and text}
    )


def read_tasks(
    project: str,
    tasks: Sequence[int],
    store: Store,
    label_studio: LabelStudio,
    take: Callable[[str, Mapping[str, Any], float], object],
) -> None:
    """Take in what Label Studio says of these tasks now. Those that it has no more are deleted, as `KEPT_S` says.

    Args:
        project: the project, which `read_project` has read.
        tasks: of which something was heard.
        store: where the labels are.
        label_studio: the project's.
        take: takes in a task, given the project, the task as the API gave it, and when it was asked (Unix seconds).

    Raises:
        LabelStudioError: they cannot be read.
        OtherLabelStudio: nothing that is known of the project is there, and when it was created is not known.
    """
    asked, found = store.database.now(), set()
    for raw in _listed(project, tasks, label_studio):
        take(project, raw, asked)
        found.add(int(raw["id"]))
    found |= store.labels.restored(project)
    gone = [task for task in store.annotations.known_tasks(project, tasks) if task not in found]
    if not gone:
        return
    if not store.projects.get(project).created:
        others = sorted(store.labels.updates(project).keys() - set(gone))[:AT_ONCE]
        if not any(_listed(project, others, label_studio)):
            raise OtherLabelStudio(
                f"{label_studio.url} has none of the tasks of project {project} that are known here, so it may be "
                f"another Label Studio. {_NOTHING} If it is the right one, connect the project again."
            )
    store.labels.delete_tasks(project, gone)


def _listed(project: str, tasks: Sequence[int], label_studio: LabelStudio) -> Iterator[dict[str, Any]]:
    """Those of these tasks that the project has, with their annotations."""
    left = iter(tasks)
    while chunk := list(islice(left, AT_ONCE)):
        wanted = json.dumps({"selectedItems": {"all": False, "included": chunk}})
        yield from label_studio.tasks(project, page_size=AT_ONCE, query=wanted)


def _unix(moment: object) -> str:
    """When a project was created as ``/setup`` says it, in whole Unix seconds; "" for what is no time."""
    try:
        return str(int(datetime.fromisoformat(str(moment).replace("Z", "+00:00")).timestamp()))
    except ValueError:
        return ""
