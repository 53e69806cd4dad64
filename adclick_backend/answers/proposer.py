"""A task's prediction before anybody clicked: which version answers, and its regions as Label Studio stores them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.answers.reliability import Reliabilities
from adclick_backend.answers.segmenter import Segmenter
from adclick_backend.brush.regions import brush_region, choice_region, rounded
from adclick_backend.config.labeling_config import ImageSettings, LabelingConfig
from adclick_backend.engine.bank import VersionError
from adclick_backend.labels.proposed import PREFIX
from adclick_backend.labels.vocabulary import Vocabulary
from adclick_backend.protocol.body import Task
from adclick_backend.settings import Settings
from adclick_backend.store import DiskError, Store
from adclick_backend.store.proposal_source import (
    NOTHING,
    PACKAGED,
    RESIDUAL,
    TRAINED,
    ProposalSource,
    words_of_source,
)
from adclick_backend.store.versions import Registry
from adclick_runtime.regions import Proposals, Region
from model.labels.labelled import DEFECT

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


def by_hand(found: Proposals, source: ProposalSource | None) -> frozenset[str]:
    """Types whose threshold a person set: every part from there on is shown, whatever became of such parts before.

    Where too few references leave the proposal to another source, that one is as calibrated, and none is.
    """
    return source.by_hand if source is not None and source.name == found.source else frozenset()


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
        wanted: whether somebody wants them before the first click (:meth:`Registry.wanted`).
    """

    name: str
    source: ProposalSource | None
    wanted: bool = True


class Proposer:
    """Makes the predictions of tasks that nobody clicked. One serves all requests.

    Args:
        settings: of the backend.
        segmenter: brings images to the engine.
        registry: the trained versions.
        vocabulary: what the words of a project mean.
        reliabilities: how far proposals can be trusted, by product.
        store: where it is noted what was proposed.
        product_of: the product that an image of a task shows, from the task's data and the image's key.
    """

    def __init__(
        self,
        settings: Settings,
        segmenter: Segmenter,
        registry: Registry,
        vocabulary: Callable[[str], Vocabulary],
        reliabilities: Reliabilities,
        store: Store,
        product_of: Callable[[Mapping[str, Any], str], str],
    ) -> None:
        self._settings = settings
        self._vocabulary = vocabulary
        self._segmenter = segmenter
        self._registry = registry
        self._reliabilities = reliabilities
        self._store = store
        self._product_of = product_of

    def serving(self, project: str) -> Serving:
        """The version that answers the project now."""
        name = self._registry.serving_name(project)
        source = self._registry.proposing(project)
        if name != self._registry.serving_name(project):  # switched between the two looks
            return self.serving(project)
        return Serving(name, source, self._registry.wanted(project))

    def can_propose(self, project: str, task: Task, config: LabelingConfig, serving: Serving) -> bool:
        """Whether masks are wanted, and there is anything to judge an image by and a control to answer with."""
        return serving.wanted and any(
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
            One brush region for each part that is worth proposing (:mod:`adclick_backend.answers.worth`), or the choice
            that says normal; None when masks are not wanted, when none is worth it, when the config has no way to say
            what was found, and when nothing was found before any training: who learned
            nothing of the defects cannot tell that there are none, and Label Studio would fill in the choice.
            ``score`` is low where a person should look first (:func:`adclick_runtime.regions.certainty`), of several
            images that of the least certain.

        Raises:
            VersionError: the version cannot be loaded; :meth:`serving` knows that from now on.
            ImageError, LabelStudioError, EngineError: with a sentence for a person.
        """
        if not serving.wanted:
            return None
        result: list[dict[str, Any]] = []
        scores: list[float] = []
        parts: dict[str, dict[str, float]] = {}
        for image in config.shown_images(task.data):
            if not image.can_propose:
                continue
            found = self._found(project, task, image, serving)
            if found.source == NOTHING:
                continue
            stem = f"{project} {task.id} {image.url(task.data)} {serving.name}" + image.key
            scores.append(found.score)
            if found.regions:
                product = self._product_of(task.data, image.key)
                needed = self.needed(project, product, serving)
                regions = self._regions(found, image, stem, needed, by_hand(found, serving.source))
                parts.setdefault(product, {}).update({one["id"]: one["score"] for one in regions})
                result += regions
            elif found.source == TRAINED and (normal := self._vocabulary(project).normal_choice(image)):
                result.append(choice_region(_name(stem, normal), normal, found.score, image))
        if not result:  # an empty result would be kept as an empty prediction
            return None
        if task.id is not None and any(parts.values()):
            with suppress(DiskError):  # it is said elsewhere, and only costs some experience
                self._store.proposed_parts.put(project, task.id, serving.name, parts)
        return {"result": result, "score": rounded(min(scores)), "model_version": serving.name}

    def needed(self, project: str, product: str, serving: Serving) -> float:
        """The score from which on a part is proposed, in [0, 1]; infinite when none is."""
        if not serving.wanted:
            return math.inf
        return self._reliabilities.of(project, product, serving.name, serving.source).needed

    def _found(self, project: str, task: Task, image: ImageSettings, serving: Serving) -> Proposals:
        """What the version finds in one image; one that cannot be loaded is refused."""
        try:
            return self._segmenter.propose(project, task, image, serving.source)
        except VersionError as error:
            if error.weights is not None:
                self._registry.refuse(project, error.weights, str(error))
            raise

    def _regions(
        self, found: Proposals, image: ImageSettings, stem: str, needed: float, chosen: frozenset[str]
    ) -> list[dict[str, Any]]:
        """One region for each part that is worth proposing and that the config has a label for.

        Args:
            found: in the image.
            image: the image.
            stem: of the names of its regions.
            needed: the score from which on a part is worth it.
            chosen: types of which a person wants to see every part, however sure.
        """
        note = note_of(found.source)
        labelled = ((self._label_of(region.type, image), region) for region in found.regions)
        parts = _joined([(label, region) for label, region in labelled if label is not None])
        return [
            brush_region(_name(stem, label, part.mask), part.mask, label, part.score, image, note)
            for label, part in parts
            if rounded(part.score) >= needed or part.type in chosen
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


def _joined(parts: Sequence[tuple[str, Region]]) -> list[tuple[str, Region]]:
    """Parts with their labels; those of two types that the config cannot tell apart are one where they touch."""
    found: list[tuple[str, Region]] = []
    for label, part in parts:
        apart: list[tuple[str, Region]] = []
        mask, score = part.mask, part.score
        for name, other in found:
            if name == label and other.type != part.type and _touch(other.mask, part.mask):
                mask, score = mask | other.mask, min(score, other.score)
            else:
                apart.append((name, other))
        found = [*apart, (label, Region(part.type, mask, score))]
    return found


def _touch(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    """Whether two masks (H, W) share a pixel or lie side by side."""
    wider = cv2.dilate(one.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return bool((wider & other).any())


def _name(stem: str, label: str, mask: NDArray[np.bool_] | None = None) -> str:
    """A region id: the same whenever the same version proposes the same thing for the same task.

    It depends on nothing else that is proposed, so a part has it still when another one is held back.
    """
    pixels = b"" if mask is None else np.packbits(mask).tobytes()
    return PREFIX + hashlib.sha256(f"{stem} {label}".encode() + pixels).hexdigest()[:12]
