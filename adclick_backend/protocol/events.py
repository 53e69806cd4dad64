"""What a Label Studio webhook says about annotations and tasks."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from adclick_backend.protocol.body import Body, Identifier, read_body

# Results that are about the whole image or are text; everything else in an annotation is a region.
_NOT_REGIONS = frozenset(
    {"choices", "textarea", "rating", "number", "datetime", "taxonomy", "pairwise", "relation", "ranker"}
)


class Annotation(Body):
    """An annotation as webhooks and Label Studio's API give it."""

    id: Identifier
    task: Identifier
    result: list[dict[str, Any]] = Field(default_factory=list)
    was_cancelled: bool = False
    updated_at: str = ""

    @property
    def changed_at(self) -> float:
        """Unix seconds of the last change; now, when Label Studio does not say."""
        try:
            return datetime.fromisoformat(self.updated_at.replace("Z", "+00:00")).timestamp()
        except ValueError:
            return time.time()

    def is_normal(self, normal_choices: Collection[str]) -> bool:
        """Whether it says that the image is free of defects.

        It does when one of its choices is among `normal_choices` (lower case), or when it holds no region and
        no choice at all. A skipped annotation says nothing, and what is drawn outweighs the choice: "normal" may
        have been proposed before the person clicked the defect.
        """
        if self.was_cancelled or any(is_region(item) and not is_click(item) for item in self.result):
            return False
        if choices := image_choices(self.result):
            return any(choice.strip().lower() in normal_choices for choice in choices)
        return not any(is_region(item) for item in self.result)


class TaskData(Body):
    """A task as webhooks and Label Studio's API give it."""

    id: Identifier
    project: Identifier | None = None
    data: dict[str, Any]


class Named(Body):
    """One entry in the list of what was deleted."""

    id: Identifier


class AnnotationSaved(Body):
    """ANNOTATION_CREATED, ANNOTATION_UPDATED."""

    annotation: Annotation
    task: TaskData


class AnnotationsDeleted(Body):
    """ANNOTATIONS_DELETED."""

    annotations: list[Named]


class TasksDeleted(Body):
    """TASKS_DELETED."""

    tasks: list[Named]


Event = AnnotationSaved | AnnotationsDeleted | TasksDeleted

_EVENTS: dict[str, type[AnnotationSaved] | type[AnnotationsDeleted] | type[TasksDeleted]] = {
    "ANNOTATION_CREATED": AnnotationSaved,
    "ANNOTATION_UPDATED": AnnotationSaved,
    "ANNOTATIONS_DELETED": AnnotationsDeleted,
    "TASKS_DELETED": TasksDeleted,
}


def read_event(action: str, body: Mapping[str, Any]) -> Event | None:
    """The event of a webhook body; None when the action has nothing to do with annotations.

    Raises:
        ApiError: 400; the body lacks what the action should carry.
    """
    model = _EVENTS.get(action)
    return read_body(model, body) if model else None


def is_region(item: Mapping[str, Any]) -> bool:
    """Whether an item of an annotation's result has a place in the image."""
    return str(item.get("type")) not in _NOT_REGIONS


def is_click(item: Mapping[str, Any]) -> bool:
    """Whether an item of an annotation's result is a key point, which covers no pixels."""
    return str(item.get("type")).startswith("keypoint")


def image_choices(result: Sequence[Mapping[str, Any]]) -> list[str]:
    """The choices of an annotation's result that are about the image as a whole.

    A choice that shares its id with a region is about that region.
    """
    regions = {str(item.get("id")) for item in result if is_region(item)}
    return [
        str(choice)
        for item in result
        if item.get("type") == "choices" and str(item.get("id")) not in regions
        for choice in _choices(item.get("value"))
    ]


def _choices(value: object) -> list[Any]:
    found = value.get("choices") if isinstance(value, dict) else None
    return found if isinstance(found, list) else []
