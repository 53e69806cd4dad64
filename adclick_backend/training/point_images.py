"""Images that operating points are judged by: labelled and good ones, none of which the version has learned from."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from adclick_backend.services import Services
from adclick_backend.store.thresholds import Standing
from adclick_backend.training.holdout import trained_on
from adclick_backend.training.training_set import TrainingSet
from model.labels.labelled import LabelledImage

MOST = 40
"""Images of each sort that are looked at, at most: a person waits for them, and each is cut at every point."""


@dataclass(frozen=True)
class PointImages:
    """What operating points are judged by.

    Attributes:
        labelled: with a mask.
        good: free of defects.
        notes: what was left out and why, in sentences for a person.
    """

    labelled: Sequence[LabelledImage]
    good: Sequence[LabelledImage]
    notes: Sequence[str]


def choose_point_images(
    project: str, services: Services, data: TrainingSet, standing: Standing
) -> PointImages:
    """Choose them; the same for the same data.

    What was learned from labels or good images of the project is judged by what its training did not see, and by what
    came in since. What was not, by everything; a good image is compared with the other ones.

    Args:
        project: project id.
        services: of this process.
        data: what is labelled, and the references.
        standing: what serves.
    """
    version = standing.version if standing.source.learned else None
    learned = trained_on(version)
    labelled = [image for image in data.images if image.has_mask]
    unseen = [image for image in labelled if image.name not in learned]
    good = _good(data)
    if version is not None:
        added: dict[str, float] = {}
        for row in services.store.references.of_project(project):
            added[row.sha] = min(added.get(row.sha, row.added), row.added)
        told: Mapping[str, Any] = version.manifest.get("data", {})
        spared = {*told.get("tried_on", ()), *told.get("held_out", ())} - learned
        known = {image.name for image in data.images} - learned
        untouched = [
            image
            for image in good
            if image.name in spared
            or added.get(image.name, 0.0) > version.created
            or (image.name in known and image.name not in added)
        ]
    else:
        untouched = good
    notes = [
        *_left_out(len(labelled) - len(unseen), "labelled image"),
        *_left_out(len(good) - len(untouched), "good image"),
        *_too_many(len(unseen), "labelled"),
        *_too_many(len(untouched), "good"),
    ]
    return PointImages(_some(unseen), _some(untouched), notes)


def _good(data: TrainingSet) -> list[LabelledImage]:
    """References, and images that somebody called normal; each once."""
    found = {
        image.sha: LabelledImage(image.sha, image, {}, product)
        for product, references in sorted(data.references.items())
        for image in references
    }
    for image in data.images:
        if not image.labels:
            found.setdefault(image.name, image)
        else:
            found.pop(image.name, None)  # a reference in which somebody labelled a defect is no good image
    return list(found.values())


def _some(images: Sequence[LabelledImage]) -> list[LabelledImage]:
    """At most `MOST` of them, of each defect type and product in turn, so that a rare one is not left out."""
    strata: defaultdict[tuple[str, ...], list[LabelledImage]] = defaultdict(list)
    for image in sorted(images, key=lambda one: hashlib.sha256(f"points {one.name}".encode()).hexdigest()):
        strata[(image.product, *sorted(image.labels))].append(image)
    in_turn = chain.from_iterable(zip_longest(*(strata[key] for key in sorted(strata))))
    return [image for image in in_turn if image is not None][:MOST]


def _left_out(number: int, what: str) -> list[str]:
    if not number:
        return []
    are, them = ("was", "it") if number == 1 else ("were", "them")
    return [
        f"{number} {what}{'' if number == 1 else 's'} {are} left out, for the version may have learned from {them}."
    ]


def _too_many(number: int, what: str) -> list[str]:
    return [f"Of {number} {what} images {MOST} were looked at."] if number > MOST else []
