"""What Label Studio's messages about annotations and tasks may change, and what has to be looked at first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

from adclick_backend.labels.mirror import Labels
from adclick_backend.protocol.events import (
    AnnotationSaved,
    AnnotationsCreated,
    AnnotationsDeleted,
    Event,
    ProjectUpdated,
    TasksDeleted,
)
from adclick_backend.references.collection import References
from adclick_backend.references.reading_back import ReadBack
from adclick_backend.store import Store

Change = AnnotationSaved | AnnotationsDeleted | TasksDeleted


class Messages:
    """The one way in for what webhooks say. Anybody can send one, so a message counts as little as it can.

    Where Label Studio can be read, a message only says what to read. Where it cannot, one that carries the secret or
    the password is believed; of others only what adds something, and what would take away or replace is a suspicion.

    Args:
        store: where it is written down.
        labels: what was annotated.
        references: follow what the labels say.
        read_back: reads what messages named.
        can_read_back: whether Label Studio can be read.
        flush: writes down the latest answers to clicks.
        report: tells a person, given the project and a sentence.
    """

    def __init__(
        self,
        store: Store,
        labels: Labels,
        references: References,
        read_back: ReadBack,
        *,
        can_read_back: bool,
        flush: Callable[[], object],
        report: Callable[[str, str], object],
    ) -> None:
        self._store = store
        self._labels = labels
        self._references = references
        self._read_back = read_back
        self._can_read_back = can_read_back
        self._flush = flush
        self._report = report

    def take_in(self, project: str, event: Event, *, trusted: bool) -> bool:
        """Do what an event allows; whether there is something to do for the keeper of references.

        Args:
            project: a project that is known.
            event: the message.
            trusted: it carries the secret or the password.
        """
        self._flush()  # whether somebody has just clicked there is asked
        if self._can_read_back:
            return self._read_back.note(project, event)
        if isinstance(event, ProjectUpdated):
            return False
        if isinstance(event, AnnotationsCreated):
            self._report(
                project,
                "Annotations were made from predictions, and only Label Studio can say what is in them: start the "
                "backend with LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, then press Synchronise now.",
            )
            return False
        if trusted:
            return self._believe(project, event)
        event = _not_from_the_future(event, self._store.database.now())
        return self._only_adds(project, event) and self._believe(project, event)

    def _believe(self, project: str, event: Change) -> bool:
        """Do what an event says; whether anything changed about references."""
        tasks = self._tasks_of(project, event)
        self._labels.apply(project, event)
        return self._references.follow(project, self._labels, tasks)

    def _only_adds(self, project: str, event: Change) -> bool:
        """Whether the event takes nothing away and replaces nothing; what would, and is news, becomes a suspicion."""
        if isinstance(event, AnnotationSaved):
            one = event.annotation
            last = self._store.annotations.last_change(project, one.id, one.task)
            if last is None:
                return True
            touched = [one.task] if one.changed_at > last else []
        else:
            touched = [
                row.task_id for row in self._store.labels.some(project, self._tasks_of(project, event))
            ]
        if touched:
            self._store.suspicions.add(project, touched)
        return False

    def _tasks_of(self, project: str, event: Change) -> list[int]:
        """The tasks that an event is about, of deleted ones those that are known."""
        known = self._store.annotations
        if isinstance(event, AnnotationSaved):
            return [event.annotation.task]
        if isinstance(event, TasksDeleted):
            return known.known_tasks(project, event.tasks)
        return known.tasks_of(project, event.annotations)


def _not_from_the_future(event: Change, now: float) -> Change:
    """The event, and no later than now: else Label Studio's own word on that annotation would be older for ever."""
    if not isinstance(event, AnnotationSaved) or event.annotation.changed_at <= now:
        return event
    moment = datetime.fromtimestamp(now, timezone.utc).isoformat()
    return event.model_copy(update={"annotation": event.annotation.model_copy(update={"updated_at": moment})})
