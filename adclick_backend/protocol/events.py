"""What a Label Studio webhook says about annotations and tasks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, PlainValidator, TypeAdapter

from adclick_backend.protocol.body import LARGEST, Body, Identifier, read_body

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
    ground_truth: bool | None = False  # the star
    updated_at: str = ""
    parent_prediction: object = None  # the prediction that it was made of, if any
    completed_by: Any = None

    @property
    def author(self) -> int | None:
        """Number of the user who made it; None when Label Studio does not say."""
        user = self.completed_by.get("id") if isinstance(self.completed_by, dict) else self.completed_by
        return user if type(user) is int and 0 <= user <= LARGEST else None

    @property
    def changed_at(self) -> float:
        """Unix seconds of the last change; now, when Label Studio does not say."""
        try:
            return datetime.fromisoformat(self.updated_at.replace("Z", "+00:00")).timestamp()
        except ValueError:
            return time.time()


class TaskData(Body):
    """A task as webhooks and Label Studio's API give it."""

    id: Identifier
    project: Identifier | None = None
    data: dict[str, Any]


class Named(Body):
    """One entry in the list of what was deleted."""

    id: Identifier


_NAMED = TypeAdapter(list[Named])


def _read_ids(value: object) -> list[int]:
    """The numbers in ``[{"id": 1}, ...]``; a message may name half a million, so without an object for each."""
    rows = value if isinstance(value, list) else []
    ids = [row["id"] for row in rows if type(row) is dict and type(row.get("id")) is int]
    if ids and len(ids) == len(rows) and min(ids) >= 0 and max(ids) <= LARGEST:
        return ids
    return [one.id for one in _NAMED.validate_python(value)]  # which says what is wrong with which of them


Ids = Annotated[list[int], PlainValidator(_read_ids)]


class AnnotationSaved(Body):
    """ANNOTATION_CREATED, ANNOTATION_UPDATED."""

    annotation: Annotation
    task: TaskData


class AnnotationsCreated(Body):
    """ANNOTATIONS_CREATED: many at once, made from predictions; it does not say of which tasks' data."""

    annotations: Ids


class AnnotationsDeleted(Body):
    """ANNOTATIONS_DELETED."""

    annotations: Ids


class TasksDeleted(Body):
    """TASKS_DELETED."""

    tasks: Ids


class ProjectUpdated(Body):
    """PROJECT_UPDATED: its title or labeling config may be another one."""


Event = AnnotationSaved | AnnotationsCreated | AnnotationsDeleted | TasksDeleted | ProjectUpdated

_EVENTS: dict[
    str,
    type[AnnotationSaved]
    | type[AnnotationsCreated]
    | type[AnnotationsDeleted]
    | type[TasksDeleted]
    | type[ProjectUpdated],
] = {
    "PROJECT_UPDATED": ProjectUpdated,
    "ANNOTATION_CREATED": AnnotationSaved,
    "ANNOTATION_UPDATED": AnnotationSaved,
    "ANNOTATIONS_CREATED": AnnotationsCreated,
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


@dataclass(frozen=True)
class Picked:
    """A value that was picked for the image as a whole.

    Attributes:
        control: name of the control.
        path: the value; of a nested choice or a taxonomy, the way down to it.
        region: id of the result.
    """

    control: str
    path: tuple[str, ...]
    region: str


def picked_for_image(result: Sequence[Mapping[str, Any]]) -> list[Picked]:
    """What was picked in ``<Choices>`` and ``<Taxonomy>`` about the image as a whole.

    A choice that shares its id with a region is about that region.
    """
    regions = {str(item.get("id")) for item in result if is_region(item)}
    return [
        Picked(str(item.get("from_name", "")), path, str(item.get("id", "")))
        for item in result
        if item.get("type") in ("choices", "taxonomy") and str(item.get("id")) not in regions
        for path in _paths(item.get("value"), str(item.get("type")))
    ]


def _paths(value: object, key: str) -> list[tuple[str, ...]]:
    found = value.get(key) if isinstance(value, dict) else None
    parts = [
        part if isinstance(part, list) else [part] for part in (found if isinstance(found, list) else [])
    ]
    return [tuple(word for word in part if isinstance(word, str)) for part in parts]
