"""Calling tasks free of defects in Label Studio: which of them may be, and the annotation that says so."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adclick_backend.config.labeling_config import LabelingConfig
from adclick_backend.labels.vocabulary import Vocabulary
from adclick_backend.store import Store

TO_MARK = "tasks_to_mark_as_normal"
"""Key of the project's store: the tasks that are still to be marked, so that a job that was killed can go on."""

MOST = 1000  # tasks at a time


class MarkingError(ValueError):
    """Tasks cannot be marked as normal; the message says why and what to do."""


def read_numbers(text: str) -> list[int]:
    """Task numbers from ``3, 7-12 15``, each once, in their order.

    Raises:
        MarkingError: something else stands there, or they are more than `MOST`.
    """
    found: dict[int, None] = {}
    for word in text.replace(",", " ").replace(";", " ").split():
        first, dash, last = word.partition("-")
        if not _is_number(first) or (dash and not _is_number(last)):
            raise MarkingError(f"{word[:40]!r} is no task number: write them as 3, 7-12, 15.")
        numbers = range(int(first), int(last or first) + 1)
        if len(found) + len(numbers) > MOST:
            raise MarkingError(f"That is more than {MOST} tasks; mark them in several steps.")
        found |= dict.fromkeys(numbers)
    return list(found)


def normal_result(config: LabelingConfig, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """What an annotation holds that calls every image of a task free of defects: the choice that means it.

    Raises:
        MarkingError: no choice of the labeling config does.
    """
    found = []
    for image in config.images:
        choice = vocabulary.normal_choice(image)
        if choice is not None:
            item = {"from_name": image.choices_name, "to_name": image.name, "type": "choices"}
            found.append({"id": secrets.token_hex(5), **item, "value": {"choices": [choice]}})
    if not found:
        raise MarkingError(
            "No choice of the labeling config is known to mean free of defects. Add one as the page Overview says, or "
            "say on the page Labels what the choices mean."
        )
    return found


def refusal(project: str, raw: Mapping[str, Any]) -> str:
    """Why a task, as Label Studio's API gives it, is left as it is; "" when it may be marked."""
    if str(raw.get("project", project)) != project:
        return "belongs to another project"
    annotations = raw.get("annotations")
    number = (
        len(annotations)
        if isinstance(annotations, list)
        else int(raw.get("total_annotations") or 0) + int(raw.get("cancelled_annotations") or 0)
    )
    if number:
        return "has an annotation already" if number == 1 else f"has {number} annotations already"
    return "has a draft that somebody is working on" if raw.get("drafts") else ""


def waiting(project: str, store: Store) -> list[int]:
    """The tasks that are still to be marked."""
    kept = store.values.get(project, TO_MARK)
    return [int(number) for number in json.loads(kept)] if kept else []


def wait_for(project: str, store: Store, tasks: Iterable[int]) -> None:
    """From now on these tasks are to be marked, and no others."""
    store.values.set(project, TO_MARK, json.dumps(list(tasks)))


def listed(tasks: Sequence[int]) -> str:
    """Task numbers as `read_numbers` reads them, runs of them short."""
    runs: list[list[int]] = []
    for number in sorted(tasks):
        if runs and number == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= 15
