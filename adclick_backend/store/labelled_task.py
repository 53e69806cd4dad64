"""What is kept of an annotated task, image by image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypedDict

Kinds = dict[str, str]

Flag = Literal["", "contradiction", "unaccepted", "empty after clicks"]
"""Why nothing is learned from a task although somebody annotated it; "" for every other case."""


class _Annotated(TypedDict):
    id: int
    result: list[dict[str, Any]]
    was_cancelled: bool
    changed_at: float  # Unix seconds


class Annotated(_Annotated, total=False):
    """What is kept of an annotation."""

    clicked: bool  # somebody clicked in the task just before it was saved
    reviewed: bool  # it has Label Studio's star: somebody calls it the truth
    deleted: float  # Unix seconds, when that was heard


class Summary(NamedTuple):
    """What a task's annotations amount to: the kind of label by defect type, and why nothing is learned, if so."""

    kinds: Kinds | None  # {} is free of defects, None says nothing
    flag: Flag = ""
    remark: str = ""


@dataclass(frozen=True)
class LabelledTask:
    """An image of a task with the task's annotations, and where the copy of the image is.

    Attributes:
        project: project id.
        task_id: the task.
        data: of the task.
        annotations: those that are known, in the order of their ids.
        url: of its image; "" when the task has none.
        sha: SHA-256 of the image file; "" until it was fetched.
        file: name of the kept copy; "" until it was fetched.
        problem: why it could not be fetched.
        updated: when this row was last written, Unix seconds.
        deleted: when it was heard that the task, or its last annotation, was deleted, Unix seconds; None: it is there.
        flag: why nothing is learned from it.
        remark: the same as a sentence for a person.
        image: key of the image in the labeling config, "" for the only one.
        restored: when a person brought it back, Unix seconds; None once Label Studio has it again.
    """

    project: str
    task_id: int
    data: dict[str, Any]
    annotations: Sequence[Annotated]
    url: str
    sha: str = ""
    file: str = ""
    problem: str = ""
    updated: float = 0.0
    deleted: float | None = None
    flag: Flag = ""
    remark: str = ""
    image: str = ""
    restored: float | None = None

    @property
    def live(self) -> list[Annotated]:
        """The annotations that were not deleted."""
        return [one for one in self.annotations if not one.get("deleted")]


Summarise = Callable[[LabelledTask], Summary]


class LeftOut(NamedTuple):
    """A task that cannot be learned from."""

    task_id: int
    reason: str  # a sentence; "" when the annotation just says nothing about defects
    flag: Flag
