"""What people have labelled, project by project: a copy of annotations and images, kept for training."""

from __future__ import annotations

import json
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from adclick_backend.config.labeling_config import LabelingConfig, parse_labeling_config
from adclick_backend.labels.belonging import read_image
from adclick_backend.labels.meanings import Meanings
from adclick_backend.labels.proposed import KEPT, PREFIX, left_of_proposal
from adclick_backend.labels.results import EMPTY_AFTER_CLICKS, Statement, newest
from adclick_backend.labels.vocabulary import Vocabulary
from adclick_backend.protocol.events import (
    Annotation,
    AnnotationSaved,
    AnnotationsDeleted,
    TasksDeleted,
)
from adclick_backend.settings import Settings
from adclick_backend.store import Annotated, LabelledTask, Store, project_id
from adclick_backend.store.files import open_files
from adclick_backend.store.files.kept import is_young
from adclick_backend.store.labelled_task import Flag, Summary
from model.labels.labelled import DEFECT

log = logging.getLogger(__name__)

ASSIGNED = "meanings_of_choices"
"""Key of the project's store under which stands what a person said that choices mean."""

JUST_BEFORE_S = 900.0
"""Clicks are that near to the annotation that comes of them."""


class Reader(Protocol):
    """What an image's task says of it; see `Labels.reader`."""

    def __call__(
        self, task: LabelledTask, answered: Collection[str] | None = None
    ) -> tuple[Annotated | None, Statement]:
        """The annotation that counts, and what it says of the image."""


@dataclass(frozen=True)
class LabelCounts:
    """How much is labelled in a project, in images.

    Attributes:
        types: defect type -> kind of label (`model.labels.labelled.Kind`) -> number.
        normal: free of defects.
        unusable: annotated, but in a way that says nothing about defects.
    """

    types: dict[str, dict[str, int]]
    normal: int
    unusable: int


class Labels:
    """The labels of all projects. One instance serves all requests of a process.

    Annotations are kept in the database, their images in ``projects/<id>/labels/`` under their SHA-256.

    Args:
        settings: of the backend.
        store: where annotations are kept.
        on_label: told the project whenever an annotation came in or changed.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        on_label: Callable[[str], object] = lambda project: None,
    ) -> None:
        self._on_label = on_label
        self._settings = settings
        self._store = store
        self._files = open_files(settings)

    def config(self, project: str) -> LabelingConfig:
        """The labeling config of a project, as far as it is known."""
        xml = self._store.projects.get(project).label_config
        return parse_labeling_config(xml, background_labels=self._settings.background_labels)

    def vocabulary(self, project: str) -> Vocabulary:
        """What the words in annotations of the project mean, whichever image they are about."""
        config = self.config(project)
        return Vocabulary.of_any(config, self._settings, config.statements, self.assigned(project))

    def assigned(self, project: str) -> Meanings:
        """What a person said that the values of the project's controls mean."""
        found: Meanings = json.loads(self._store.values.get(project, ASSIGNED) or "{}")
        return found

    def assign(self, project: str, meanings: Meanings) -> None:
        """A person says what the values of some controls mean; all labels are read anew."""
        known = {**self.assigned(project), **{name: dict(values) for name, values in meanings.items()}}
        self._store.values.set(project, ASSIGNED, json.dumps(known))
        self._store.labels.summarise_again(project, self._summary(project))

    def reader(self, project: str) -> Reader:
        """Reads the labelled images of a project as its labeling config is now.

        Answers the annotation of a task that counts, and what it says of the image; None and nothing when every one
        was skipped. ``answered`` are the ids of regions that answered clicks, those that are kept unless given.
        """
        config = self.config(project)
        assigned = self.assigned(project)
        words = {
            image.key: Vocabulary.of(image, self._settings, config.statements, assigned)
            for image in config.images
        }

        def read(
            task: LabelledTask, answered: Collection[str] | None = None
        ) -> tuple[Annotated | None, Statement]:
            annotation, image = newest(task.live), config.image(task.image)
            if annotation is None or image is None:
                return None, Statement()
            if answered is None:
                answered = self._store.answers.regions(project, task.task_id)
            clicked = annotation.get("clicked", False)
            result, vocabulary = annotation["result"], words[image.key]
            return annotation, read_image(result, config, image, vocabulary, answered, clicked=clicked)

        return read

    def path(self, project: str, file: str) -> Path:
        """The kept copy of a labelled image on this machine, fetched when need be; nothing is there when it is gone.

        Raises:
            FilesError: it cannot be fetched.
        """
        name = f"{_folder(project)}/{file}"
        try:
            return self._files.path(name)
        except FileNotFoundError:
            return self._files.place(name)

    def keep(self, project: str, file: str, data: bytes) -> None:
        """Keep a copy of a labelled image; raises OSError when that cannot be done."""
        self._files.put(f"{_folder(project)}/{file}", data)

    def copies(self, project: str) -> set[str]:
        """The file names of all kept copies."""
        return set(self._files.names(_folder(project)))

    def sweep(self, project: str) -> None:
        """Delete the copies that no labelled task refers to any more, deleted ones included; not young ones."""
        for file in self.copies(project) - self._store.labels.kept_files(project):
            name = f"{_folder(project)}/{file}"
            if not is_young(self._files, name):
                self._files.delete(name)

    def counts(self, project: str) -> dict[str, int]:
        """Defect type -> number of labelled images; types without a label are missing."""
        return {name: sum(kinds.values()) for name, kinds in self.details(project).types.items()}

    def details(self, project: str) -> LabelCounts:
        """How much is labelled in a project, and in which way."""
        found: defaultdict[str, Counter[str]] = defaultdict(Counter)
        rows, known = self._store.labels.kinds(project), self.vocabulary(project)
        for name, kind in (pair for kinds in rows if kinds for pair in sorted(kinds.items())):
            if name == DEFECT or known.label(name) is not None:  # not removed from the config since then
                found[name][kind] += 1
        types = {name: dict(found[name]) for name in sorted(found)}
        return LabelCounts(types, normal=rows.count({}), unusable=rows.count(None))

    # --- what webhooks say

    def apply(self, project: str, event: AnnotationSaved | AnnotationsDeleted | TasksDeleted) -> bool:
        """Do what a webhook says, which is believed already; answer whether anything changed.

        Webhooks may come twice and in any order: the newest word on an annotation counts, and what is deleted stays so.
        """
        labels = self._store.labels
        if isinstance(event, AnnotationsDeleted):
            return labels.delete_annotations(project, event.annotations, self._summary(project))
        if isinstance(event, TasksDeleted):
            return self.forget(project, event.tasks)
        images = self._images(project, event.annotation.task, event.task.data)
        clicked = self._clicked_before(project, event.annotation, self._store.database.now())
        changed = labels.put(images, _kept(event.annotation, clicked=clicked), self._summary(project))
        self._accept(project, event.annotation.task, [event.annotation])
        self._sign(project, [event.annotation])
        if changed:
            self._judge(project, event.annotation.task, [event.annotation])
            self._on_label(project)
        return changed

    def read(self, project: str, raw: Mapping[str, Any], asked: float) -> None:
        """Take in a task that a message named, see `mirror`; what changed counts as a new label."""
        if self.mirror(project, raw, asked) and self._store.labels.some(project, [int(raw["id"])]):
            self._on_label(project)

    def mirror(self, project: str, raw: Mapping[str, Any], asked: float) -> bool:
        """Take in a task with all its annotations, as Label Studio's API gave it when it was `asked` (Unix seconds).

        Answers whether anything changed.
        """
        task_id = int(raw["id"])
        annotations = []
        for one in raw.get("annotations") or []:
            try:
                annotations.append(Annotation.model_validate({**one, "task": task_id}))
            except ValidationError:
                log.warning("Project %s, task %s: an annotation cannot be read", project, task_id)
        proposed = _proposed(raw.get("predictions"))
        kept = [
            _kept(one, proposed, clicked=self._clicked_before(project, one, one.changed_at))
            for one in annotations
        ]
        images = self._images(project, task_id, raw.get("data") or {}, kept)
        changed = self._store.labels.mirror(images, asked=asked, summarise=self._summary(project))
        self._accept(project, task_id, annotations)
        self._sign(project, annotations)
        if changed:
            self._judge(project, task_id, annotations)
        return changed

    def restore(self, project: str, task: int) -> bool:
        """Bring back what was deleted of a task; answer whether there was anything."""
        return self._store.labels.restore(project, task, self._summary(project))

    def forget(self, project: str, tasks: Sequence[int]) -> bool:
        """The tasks are gone; answer whether any was labelled. They can be brought back for a while."""
        return self._store.labels.delete_tasks(project, tasks)

    def _images(
        self, project: str, task_id: int, data: Mapping[str, Any], annotations: Sequence[Annotated] = ()
    ) -> list[LabelledTask]:
        """The images of a task."""
        return [
            LabelledTask(project, task_id, dict(data), annotations, image.url(data), image=image.key)
            for image in self.config(project).shown_images(data)
        ]

    def _accept(self, project: str, task_id: int, annotations: Iterable[Annotation]) -> None:
        """The regions of these annotations were accepted: the answers they come from stay."""
        regions = {str(item.get("id")) for annotation in annotations for item in annotation.result}
        self._store.answers.accept(project, task_id, regions)

    def _judge(self, project: str, task_id: int, annotations: Iterable[Annotation]) -> None:
        """What a person did with the parts that had been proposed, where the task was opened with them."""
        submitted = [one for one in annotations if not one.was_cancelled]
        if not submitted:
            return
        newest = max(submitted, key=lambda one: (one.changed_at, one.id))
        answered = self._store.answers.regions(project, task_id)
        unchanged, changed = left_of_proposal(newest.result, answered)
        if unchanged or changed or newest.parent_prediction is not None:
            self._store.proposed_parts.judge(project, task_id, unchanged, changed)

    def _sign(self, project: str, annotations: Iterable[Annotation]) -> None:
        """Write down who made these annotations."""
        authors = {one.id: one.author for one in annotations if one.author is not None}
        self._store.annotations.note_authors(project, authors)

    def _clicked_before(self, project: str, annotation: Annotation, saved: float) -> bool:
        """Whether an annotation that holds nothing was saved, at that time, just after clicks that nobody accepted."""
        if annotation.result:
            return False
        return self._store.answers.clicked(
            project, annotation.task, saved - JUST_BEFORE_S, saved + JUST_BEFORE_S
        )

    def _summary(self, project: str) -> Callable[[LabelledTask], Summary]:
        read = self.reader(project)

        def summarise(task: LabelledTask) -> Summary:
            _, statement = read(task)
            kinds = statement.kinds or ({} if statement.normal else None)
            flag: Flag = (
                "contradiction"
                if statement.contradictory
                else "unaccepted"
                if statement.unaccepted
                else "empty after clicks"
                if EMPTY_AFTER_CLICKS in statement.problems
                else ""
            )
            return Summary(kinds, flag, "" if kinds is not None else " ".join(statement.problems))

        return summarise


def _folder(project: str) -> str:
    """Where the copies of a project lie."""
    return f"projects/{project_id(project)}/labels"


def _proposed(predictions: object) -> dict[str, dict[str, Any]]:
    """Region id -> the region as it was proposed, of a task's predictions as Label Studio lists them."""
    rows = predictions if isinstance(predictions, list) else []
    results = [row.get("result") for row in rows if isinstance(row, dict)]
    return {
        item["id"]: item
        for result in results
        if isinstance(result, list)
        for item in result
        if isinstance(item, dict) and str(item.get("id")).startswith(PREFIX)
    }


def _kept(
    annotation: Annotation, proposed: Mapping[str, dict[str, Any]] | None = None, *, clicked: bool = False
) -> Annotated:
    """What is kept of an annotation; with a proposed region that a person changed, what had been proposed."""
    result = []
    for item in annotation.result:
        before = (proposed or {}).get(str(item.get("id")))
        same_image = before is not None and before.get("to_name") == item.get("to_name")
        changed = before is not None and same_image and before.get("value") != item.get("value")
        result.append({**item, KEPT: before} if changed else item)
    kept: Annotated = {
        "id": annotation.id,
        "result": result,
        "was_cancelled": annotation.was_cancelled,
        "changed_at": annotation.changed_at,
    }
    if annotation.ground_truth:
        kept["reviewed"] = True
    if clicked:
        kept["clicked"] = True
    return kept
