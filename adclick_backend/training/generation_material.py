"""What generated defects are learned from and painted on: nothing that a training is judged by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adclick_backend.answers.loadable import loadable_version
from adclick_backend.services import Services
from adclick_backend.training.holdout import split, split_for_generated, trained_on
from adclick_backend.training.reference_pixels import References, read_references
from adclick_backend.training.training_set import TrainingSet
from adclick_backend.training.trial_images import choose_trial_images
from model.labels.labelled import SHAPED, LabelledImage


@dataclass(frozen=True)
class GenerationMaterial:
    """What may be used.

    Attributes:
        masked: type -> images with a mask of it: those that a training may learn from, the rest is there to judge by;
            where all are, all of them.
        masks: type -> how many images have a mask of it.
        labelled: type -> how many images have a label of it, of whatever kind.
        hosts: the references that a training learns from.
    """

    masked: Mapping[str, Sequence[LabelledImage]]
    masks: Mapping[str, int]
    labelled: Mapping[str, int]
    hosts: References

    @classmethod
    def of_project(cls, project: str, services: Services, data: TrainingSet) -> GenerationMaterial:
        """That of a project, divided as the next training will divide it."""
        serving = loadable_version(project, services.registry, services.engine)
        chosen = split(data.images, trained_on(serving))
        held_back = {image.name for image in chosen.normal} | choose_trial_images(data, chosen).unseen
        labelled = Counter(name for image in data.images for name in image.labels)
        masked = _by_type(split_for_generated(chosen).training)
        every = _by_type(data.images)
        masks = {name: len(images) for name, images in every.items()}
        return cls({**every, **masked}, masks, labelled, read_references(data, held_back))


def _by_type(images: Sequence[LabelledImage]) -> dict[str, list[LabelledImage]]:
    found: dict[str, list[LabelledImage]] = {}
    for image in images:
        for name, label in image.labels.items():
            if label.kind in SHAPED:
                found.setdefault(name, []).append(image)
    return found
