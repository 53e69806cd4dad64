"""A task's prediction before anybody clicked: which version answers, and its regions as Label Studio stores them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adclick_backend.answers.segmenter import Segmenter
from adclick_backend.brush.regions import brush_region, choice_region, rounded
from adclick_backend.config.labeling_config import ImageSettings, LabelingConfig
from adclick_backend.engine.bank import VersionError
from adclick_backend.labels.proposed import PREFIX
from adclick_backend.labels.vocabulary import Vocabulary
from adclick_backend.protocol.body import Task
from adclick_backend.settings import Settings
from adclick_backend.store.proposal_source import (
    NOTHING,
    PACKAGED,
    RESIDUAL,
    TRAINED,
    ProposalSource,
    words_of_source,
)
from adclick_backend.store.versions import Registry
from model.labels.labelled import DEFECT
from model.segmentation.regions import Proposals

Prediction = dict[str, Any]

NOTES = {
    TRAINED: "",
    PACKAGED: (
        "Not trained on this project: found by what defects of other products look like beside their references. "
        "What kind of defect it is, and whether it is one, is for a person to say."
    ),
    RESIDUAL: (
        "Residual only: this place is unlike the references. Nothing was learned from labels yet, so what kind of "
        "defect it is, and whether it is one, is for a person to say."
    ),
    NOTHING: "",
}
"""What the details of a proposed region say of where it comes from; see `note_of`."""


def note_of(source: str) -> str:
    """What the details of a region say that was proposed from a source."""
    if source in NOTES:
        return NOTES[source]
    return (
        f"Found by {words_of_source(source)}: this place is unlike good images. Nothing was learned from labels, so "
        "what kind of defect it is, and whether it is one, is for a person to say."
    )


@dataclass(frozen=True)
class Serving:
    """The version that answers a project now, read once for each request so that no answer mixes two.

    Attributes:
        name: the ``model_version`` that Label Studio is told.
        source: what masks come from; None for what a project gets that nothing was trained for.
    """

    name: str
    source: ProposalSource | None


class Proposer:
    """Makes the predictions of tasks that nobody clicked. One serves all requests.

    Args:
        settings: of the backend.
        segmenter: brings images to the engine.
        registry: the trained versions.
        vocabulary: what the words of a project mean.
    """

    def __init__(
        self,
        settings: Settings,
        segmenter: Segmenter,
        registry: Registry,
        vocabulary: Callable[[str], Vocabulary],
    ) -> None:
        self._settings = settings
        self._vocabulary = vocabulary
        self._segmenter = segmenter
        self._registry = registry

    def serving(self, project: str) -> Serving:
        """The version that answers the project now."""
        name = self._registry.serving_name(project)
        source = self._registry.proposing(project)
        if name != self._registry.serving_name(project):  # switched between the two looks
            return self.serving(project)
        return Serving(name, source)

    def can_propose(self, project: str, task: Task, config: LabelingConfig, serving: Serving) -> bool:
        """Whether there is anything to judge an image of the task by, and a control to answer with."""
        return any(
            self._segmenter.source(project, task, image, serving.source) != NOTHING
            for image in config.shown_images(task.data)
            if image.can_propose
        )

    def predict(
        self, project: str, task: Task, config: LabelingConfig, serving: Serving
    ) -> Prediction | None:
        """The prediction of one task.

        Args:
            project: project id.
            task: the task.
            config: the project's labeling config.
            serving: the version to answer with.

        Returns:
            One brush region for each brush label with a defect, or the choice that says normal; None when the
            config has no way to say what was found, and when nothing was found before any training: who learned
            nothing of the defects cannot tell that there are none, and Label Studio would fill in the choice.
            ``score`` is low where a person should look first (:func:`model.segmentation.regions.certainty`), of several
            images that of the least certain.

        Raises:
            VersionError: the version cannot be loaded; :meth:`serving` knows that from now on.
            ImageError, LabelStudioError, EngineError: with a sentence for a person.
        """
        result: list[dict[str, Any]] = []
        scores: list[float] = []
        for image in config.shown_images(task.data):
            if not image.can_propose:
                continue
            found = self._found(project, task, image, serving)
            if found.source == NOTHING:
                continue
            stem = f"{project} {task.id} {image.url(task.data)} {serving.name}" + image.key
            scores.append(found.score)
            if found.regions:
                result += self._regions(found, image, stem)
            elif found.source == TRAINED and (normal := self._normal_choice(project, image)):
                result.append(choice_region(_name(stem, normal), normal, found.score, image))
        if not result:  # an empty result would be kept as an empty prediction
            return None
        return {"result": result, "score": rounded(min(scores)), "model_version": serving.name}

    def _found(self, project: str, task: Task, image: ImageSettings, serving: Serving) -> Proposals:
        """What the version finds in one image; one that cannot be loaded is refused."""
        try:
            return self._segmenter.propose(project, task, image, serving.source)
        except VersionError as error:
            if error.weights is not None:
                self._registry.refuse(project, error.weights, str(error))
            raise

    def _regions(self, found: Proposals, image: ImageSettings, stem: str) -> list[dict[str, Any]]:
        """One region for each label: two types that the config cannot tell apart are one mask."""
        masks: dict[str, tuple[NDArray[np.bool_], float]] = {}
        for region in found.regions:
            label = self._label_of(region.type, image)
            if label in masks:
                mask, score = masks[label]
                masks[label] = mask | region.mask, min(score, region.score)
            elif label is not None:
                masks[label] = region.mask, region.score
        note = note_of(found.source)
        return [
            brush_region(_name(stem, label), mask, label, score, image, note)
            for label, (mask, score) in masks.items()
        ]

    def _label_of(self, type_: str, image: ImageSettings) -> str | None:
        """The brush label to paint a defect type with; None when the config has none for it."""
        if type_ != DEFECT:
            return image.brush_label_for(type_)
        painted = [
            name for name in image.brush_labels if name.lower() not in self._settings.background_labels
        ]
        named = [name for name in painted if name.lower() == DEFECT]
        return next(iter(named or painted), None)

    def _normal_choice(self, project: str, image: ImageSettings) -> str | None:
        """The choice that calls an image free of defects, as the words or a person say it."""
        meaning = self._vocabulary(project).meaning
        return next(
            (choice for choice in image.choices if meaning(image.choices_name, choice) == "normal"), None
        )


def _name(stem: str, label: str) -> str:
    """A region id: the same whenever the same version proposes the same thing for the same task."""
    return PREFIX + hashlib.sha256(f"{stem} {label}".encode()).hexdigest()[:12]
