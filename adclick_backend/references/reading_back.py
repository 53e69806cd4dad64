"""Reading from Label Studio what messages named, a few tasks at a time or the whole project."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from adclick_backend.errors import ImageError
from adclick_backend.images.connections import Connections
from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.labels.mirror import Labels
from adclick_backend.labels.reading import OtherLabelStudio, read_project, read_tasks
from adclick_backend.protocol.events import (
    AnnotationSaved,
    AnnotationsCreated,
    AnnotationsDeleted,
    Event,
    ProjectUpdated,
)
from adclick_backend.references.collection import References
from adclick_backend.references.syncing import LabelSyncs
from adclick_backend.store import Store, TaskCheck
from adclick_backend.store.annotations import PROJECT_ITSELF
from adclick_backend.store.disk import stops_writing

log = logging.getLogger(__name__)

MANY = 50  # tasks of a project; beyond that the whole project is read instead
RETRY_S = (5.0, 30.0, 120.0, 600.0)  # waits before the next attempts


class ReadBack:
    """Messages say what to look at, and Label Studio says what it is. One instance serves all projects.

    Args:
        store: where it is written down what is to be read.
        labels: take in what was read.
        references: follow what the labels say.
        connections: to Label Studio.
        syncs: read whole projects.
    """

    def __init__(
        self,
        store: Store,
        labels: Labels,
        references: References,
        connections: Connections,
        syncs: LabelSyncs,
    ) -> None:
        self._store = store
        self._labels = labels
        self._references = references
        self._connections = connections
        self._syncs = syncs

    def note(self, project: str, event: Event) -> bool:
        """Write down what is to be read because of a message; False when that is nothing.

        What was deleted costs nothing unless it was known, however long the message is.
        """
        known = self._store.annotations
        if isinstance(event, AnnotationsCreated):
            if known.are_known(project, event.annotations):
                return False
            self._syncs.ask(project)  # of which tasks they are, only the whole project tells
            return True
        if isinstance(event, ProjectUpdated):
            tasks = [PROJECT_ITSELF]
        elif isinstance(event, AnnotationSaved):
            tasks = [event.annotation.task]
        elif isinstance(event, AnnotationsDeleted):
            tasks = known.tasks_of(project, event.annotations)
        else:
            tasks = known.known_tasks(project, event.tasks)
        if tasks and not known.ask_checks(project, tasks, MANY):
            self._syncs.ask(project)
        return bool(tasks)

    def step(self) -> bool:
        """Read what is due of one project; False when nothing is. Never raises because of Label Studio."""
        checks = self._store.annotations.next_checks()
        if not checks:
            return False
        project = checks[0].project
        try:
            self._read(project, [check.task_id for check in checks if check.task_id != PROJECT_ITSELF])
        except OtherLabelStudio as error:
            self._give_up(checks, str(error))
        except ImageError as error:
            self._store.problems.add(project, str(error))
            self._store.annotations.end_checks(checks)
        except Exception as error:
            if stops_writing(error):  # they are still to be read
                raise self._store.disk.failed(error) from error
            self._postpone(checks, error)
        else:
            self._store.annotations.end_checks(checks)
        return True

    def _read(self, project: str, tasks: Sequence[int]) -> None:
        label_studio = self._connections.label_studio(project)
        read_project(project, self._store, label_studio)
        read_tasks(project, tasks, self._store, label_studio, self._labels.read)
        self._references.follow(project, self._labels, tasks)

    def _postpone(self, checks: Sequence[TaskCheck], error: Exception) -> None:
        attempts = max(check.attempts for check in checks)
        if attempts < len(RETRY_S):
            self._store.annotations.end_checks(
                checks, retry_at=self._store.database.now() + RETRY_S[attempts]
            )
            return
        log.warning("Project %s cannot be read back", checks[0].project, exc_info=error)
        self._give_up(
            checks, str(error) if isinstance(error, LabelStudioError) else "the backend's log says why."
        )

    def _give_up(self, checks: Sequence[TaskCheck], reason: str) -> None:
        """Leave everything as it is, say so once, and leave the rest to synchronisations."""
        project = checks[0].project
        self._store.annotations.end_checks(checks)
        self._store.problems.add(
            project,
            "What Label Studio's messages named could not be read from Label Studio, so nothing was changed because of "
            f"them; it is tried again every {RETRY_S[-1] / 60:.0f} minutes. {reason}",
        )
        self._syncs.try_later(project)
