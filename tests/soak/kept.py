"""What was acknowledged, compared with what the backend holds."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adclick_backend.store import LabelledTask, Reference, Store
from tests.soak.label_studio import PROJECT


@dataclass(frozen=True)
class Kept:
    """The comparison, as ids of annotations.

    Attributes:
        acknowledged: how many were answered with 2xx.
        lost: acknowledged, and no label holds them.
        changed: acknowledged, and the label that holds them says something else than Label Studio.
        no_reference: acknowledged as normal, and no reference comes of them.
        missing: in Label Studio, never acknowledged, and no label holds them.
    """

    acknowledged: int
    lost: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    no_reference: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)

    @property
    def all_there(self) -> bool:
        """Whether nothing that was acknowledged is lost."""
        return not (self.lost or self.changed or self.no_reference)


def compare(
    acknowledged: Collection[int],
    truth: Mapping[int, Mapping[str, Any]],
    labels: Iterable[LabelledTask],
    references: Iterable[Reference],
) -> Kept:
    """Compare what was acknowledged with what is held.

    Args:
        acknowledged: ids of annotations.
        truth: every annotation as Label Studio has it, by id.
        labels: that the backend holds.
        references: that the backend holds.
    """
    held = {one["id"]: one["result"] for task in labels for one in task.live}
    banked = {one.annotation_id for one in references if one.state in ("pending", "ready")}
    told = sorted(acknowledged)
    return Kept(
        acknowledged=len(told),
        lost=[number for number in told if number not in held],
        changed=[
            number
            for number in told
            if number in held and _values(held[number]) != _values(truth[number]["result"])
        ],
        no_reference=[
            number for number in told if _is_normal(truth[number]["result"]) and number not in banked
        ],
        missing=sorted(truth.keys() - held.keys() - set(told)),
    )


def read(data: Path, acknowledged: Collection[int], truth: Mapping[int, Mapping[str, Any]]) -> Kept:
    """Compare with what stands in the data folder of the backend."""
    store = Store(data)
    try:
        labels = store.labels.of_project(str(PROJECT))
        return compare(acknowledged, truth, labels, store.references.of_project(str(PROJECT)))
    finally:
        store.close()


def jobs(data: Path) -> list[str]:
    """How each job ended, a sentence each, the oldest first."""
    store = Store(data)
    try:
        found = store.jobs.of_project(str(PROJECT))
        return [f"{job.kind} {job.id}: {job.state}. {job.message}" for job in reversed(found)]
    finally:
        store.close()


def _values(result: Iterable[Mapping[str, Any]]) -> list[str]:
    """What regions and choices of an annotation say, without what they are called."""
    return sorted(json.dumps([one.get("type"), one.get("value")], sort_keys=True) for one in result)


def _is_normal(result: Iterable[Mapping[str, Any]]) -> bool:
    return any(one.get("value") == {"choices": ["normal"]} for one in result)
