"""What can be evaluated: folders in MVTec layout, and the labelled images of a project."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adclick_backend.benchmark.local_engine import LocalEngine
from adclick_backend.dashboard.figures import measures, words_of
from adclick_backend.dashboard.image_names import ImageName, Named, image_names
from adclick_backend.dashboard.words import count, percent
from adclick_backend.engine.bank import EngineError, ReferenceBank
from adclick_backend.engine.engine import Engine
from adclick_backend.engine.sources import FEWEST_REFERENCES
from adclick_backend.services import Services
from adclick_backend.store.proposal_source import NOTHING, TRAINED, ProposalSource
from adclick_backend.store.version import Version
from adclick_backend.training.promotion import Look
from adclick_backend.training.training_set import KeptImage, TrainingSet, key_of, whole
from model.datasets.mvtec import Category, followed, read_mask
from model.labels.labelled import LabelledImage, WeakLabel

MAX_MEGAPIXELS = 1000  # of files that the person who starts the command has named


@dataclass(frozen=True)
class Source:
    """One product with its labelled images.

    Attributes:
        name: for the heading.
        images: defective and normal ones; can be gone through once.
        count: how many.
        look: what is seen in one of them.
        remark: a sentence on the choice of the images; may be empty.
        named: what a person calls an image.
    """

    name: str
    images: Iterator[LabelledImage]
    count: int
    look: Look
    remark: str
    named: Named


def folder_source(category: Category, number: int, engine: LocalEngine, weights: Path | None) -> Source:
    """The test images of a product in MVTec layout; its training images are the references.

    Where there are too few of those, half of the defect-free test images become references instead.

    Args:
        category: the product.
        number: a number that no other product of this engine has.
        engine: looks at the images.
        weights: of the trained network; None for the residual alone.
    """
    references, normal = _apart(category.good())
    defects = category.defects()
    bank = engine.bank(str(number), references)

    names: dict[str, ImageName] = {}

    def labelled(file: Path, labels: Mapping[str, WeakLabel]) -> LabelledImage:
        image = _labelled(file, labels, bank.white)
        names[image.name] = ImageName(f"{file.parent.name}/{file.name}")
        return image

    def images() -> Iterator[LabelledImage]:
        for file in normal:
            yield labelled(file, {})
        for file, mask in defects:
            target = read_mask(mask)
            label = WeakLabel("mask", target.astype(np.float32), np.ones_like(target))
            yield labelled(file, {file.parent.name: label})

    remark = f"{len(bank.references)} references; the normal images are other ones."
    asked = None if weights is None else ProposalSource(TRAINED, weights)
    look = _looker(engine.engine, bank.project, lambda product: bank, asked)
    return Source(category.name, images(), len(normal) + len(defects), look, remark, names.__getitem__)


def project_sources(
    project: str, services: Services, data: TrainingSet, version: Version | None
) -> list[Source]:
    """The labelled images of a project, product by product, those apart that the version was trained on.

    Args:
        project: project id.
        services: of the backend.
        data: what is labelled.
        version: the version to evaluate; None for what proposes without one.
    """
    asked = (
        services.registry.proposing(project) if version is None or version.serving else version.proposing()
    )
    known = set(version.manifest.get("data", {}).get("images", ())) if version else set()
    look = _looker(
        services.engine,
        project,
        lambda product: services.references.bank(project, product),
        asked.calibrated
        if asked
        else None,  # beside the figures of the page Versions, wherever a person cuts
    )
    named, sources = image_names(services.store, project), []
    for product in sorted({image.product for image in data.images}):
        images = [image for image in data.images if image.product == product]
        unseen = [image for image in images if image.name not in known]
        remark, beside = "None of these images was trained on.", _beside_versions(version, unseen)
        if not any(image.labels for image in unseen):
            unseen, remark = (
                images,
                "The version was trained on some of these images: expect less of new ones.",
            )
            beside = _beside_versions(version, unseen)
        name = product or f"Project {project}"
        sources.append(Source(name, iter(unseen), len(unseen), look, f"{remark}{beside}", named))
    return sources


def _beside_versions(version: Version | None, images: Sequence[LabelledImage]) -> str:
    """Why the figures are not those of the page Versions; "" when they are of the same images, or it has none."""
    known = measures(version.metrics) if version else {}
    shown = [f"{words_of(name)} {percent(known[name])}" for name in ("iou", "ap") if name in known]
    if version is None or not shown:
        return ""
    held_out = set(version.manifest.get("data", {}).get("held_out", ()))
    if held_out == {image.name for image in images}:
        return ""
    return (
        f" The page Versions has {', '.join(shown)}: of the {count(len(held_out), 'image')} that "
        f"{'was' if len(held_out) == 1 else 'were'} held back when {version.name} was trained."
    )


def _apart(good: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Defect-free images as references, and as the normal images that are looked at."""
    train = [file for file in good if file.parent.parent.name == "train"]
    if len(train) >= FEWEST_REFERENCES:
        return train, [file for file in good if file not in train]
    return list(good[::2]), list(good[1::2])


def _looker(
    engine: Engine, project: str, bank_of: Callable[[str], ReferenceBank], asked: ProposalSource | None
) -> Look:
    """What the engine sees in an image of a project, given the bank of each product."""

    def look(image: LabelledImage) -> Mapping[str, NDArray[np.float32]]:
        key, bank = key_of(project, image), bank_of(image.product)
        others = bank.without(key.sha)
        if engine.source(others, asked) == NOTHING:
            beside = ", which is one itself," if others != bank else ""
            raise EngineError(
                f"without a trained version it takes {FEWEST_REFERENCES} references, and an image{beside} can be "
                f"compared with {len(others.references)}."
            )
        return engine.maps(key, bank, whole(image), asked)

    return look


def _labelled(file: Path, labels: Mapping[str, WeakLabel], white: int) -> LabelledImage:
    file = followed(file)
    sha = hashlib.sha256(file.read_bytes()).hexdigest()
    return LabelledImage(sha, KeptImage(sha, lambda: file, MAX_MEGAPIXELS, white), labels)
