"""The images, labels and references that a training starts from, as they are at one moment."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.engine.bank import ImageKey
from adclick_backend.errors import ImageError
from adclick_backend.images.decode import decode_image
from adclick_backend.images.task_images import LoadedImage
from adclick_backend.labels.results import Statement, draw_label, newest
from adclick_backend.services import Services
from adclick_backend.store import Answer, LabelledTask
from model.labels.labelled import LabelledImage, WeakLabel

MOST_PIXELS = 12_500_000
"""Larger images are trained on as scaled copies: the networks see far less than that, and a training has to fit into
memory beside whatever else runs."""


def working_size(height: int, width: int) -> tuple[int, int]:
    """Height and width at which an image is trained on; its own up to `MOST_PIXELS`."""
    if height * width <= MOST_PIXELS:
        return height, width
    scale = math.sqrt(MOST_PIXELS / (height * width))
    return max(int(height * scale), 1), max(int(width * scale), 1)


@dataclass(frozen=True)
class TrainingSet:
    """What a training learns from.

    Attributes:
        images: labelled images, in the order of their SHA-256, each once.
        references: product -> its defect-free images, in the order of their SHA-256; each is read when it is called.
        skipped: one sentence for everything that had to be left out.
        fingerprint: SHA-256 of all images, labels and references: the same for the same data, wherever it lies.
    """

    images: list[LabelledImage]
    references: dict[str, list[KeptImage]]
    skipped: list[str]
    fingerprint: str


@dataclass(frozen=True)
class KeptImage:
    """A kept copy of an image file, and the 16-bit value that becomes 255 in it (0 for an image of 8 bits)."""

    sha: str
    find: Callable[[], Path]  # on this machine; raises OSError
    max_megapixels: float
    white: int = 0

    def __call__(self) -> NDArray[np.uint8]:
        """The image at its `working_size`, (H, W, 3) uint8 RGB, upright; raises ImageError."""
        pixels = self.whole()
        height, width = working_size(*pixels.shape[:2])
        if (height, width) == pixels.shape[:2]:
            return pixels
        return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    def whole(self) -> NDArray[np.uint8]:
        """The image as it is kept, as clicks and proposals see it; raises ImageError."""
        return decode_image(self.read(), max_megapixels=self.max_megapixels, white=self.white)

    def read(self) -> bytes:
        """The bytes of the file; raises ImageError when they are not those that were kept."""
        try:
            data = self.find().read_bytes()
        except OSError as error:
            raise ImageError(f"The kept copy of the image cannot be read ({error.strerror}).") from error
        if hashlib.sha256(data).hexdigest() != self.sha:
            raise ImageError("The kept copy of the image is damaged.")
        return data


@dataclass(frozen=True)
class DrawnLabels(Mapping[str, WeakLabel]):
    """The labels of one image at its `working_size`, each drawn when it is looked at: at most 60 MB for each type."""

    statement: Statement
    types: tuple[str, ...]
    height: int
    width: int
    answers: Mapping[str, Answer]

    def __getitem__(self, name: str) -> WeakLabel:
        label = self.draw(name)[0] if name in self.types else None
        if label is None:
            raise KeyError(name)
        return label

    def __iter__(self) -> Iterator[str]:
        return iter(self.types)

    def __len__(self) -> int:
        return len(self.types)

    def draw(self, name: str) -> tuple[WeakLabel | None, list[str]]:
        """See `label_results.draw_label`."""
        return draw_label(self.statement, name, self.height, self.width, self.answers)


def build_training_set(project: str, services: Services) -> TrainingSet:
    """Put together what is labelled in a project and can be learned from.

    Nothing is fetched: `Labels.sync` does that before.
    """
    builder = _Builder(project, services)
    tasks = services.store.labels.of_project(project)
    # Of tasks that show the same file, the one labelled last counts.
    for task in sorted(tasks, key=_labelled_at, reverse=True):
        builder.add(task)
    builder.add_references()
    return builder.finish()


class _Builder:
    """Collects a training set."""

    def __init__(self, project: str, services: Services) -> None:
        self._project = project
        self._services = services
        self._read = services.labels.reader(project)
        self._removed = services.store.references.removed_tasks(project)
        self._white_points = services.references.white_points
        self._images: dict[str, LabelledImage] = {}
        self._references: dict[str, list[KeptImage]] = {}
        self._skipped: list[str] = []
        self._prints: list[str] = []

    def add(self, task: LabelledTask) -> None:
        """Add a labelled task, or say why not."""
        annotation, statement = self._read(task)
        if annotation is None:
            return  # the person skipped the task
        if annotation["result"] and statement == Statement() and task.image:
            return  # it is about another image of the task
        product = self._product(task)
        if statement.normal and (task.task_id, product) in self._removed:
            self._skip(task, "It was left out: its reference was removed on the page References.")
            return
        image = self._kept(task.sha, partial(self._services.labels.path, self._project, task.file))
        try:
            if not task.file:
                raise ImageError(task.problem or "Its image was not fetched yet.")
            loaded = LoadedImage(image.read(), image.max_megapixels)
            width, height = loaded.size
            white = self._white_points.of_image(self._project, product, loaded)
        except ImageError as error:
            self._skip(task, f"It was left out: {error}")
            if task.file:  # so that the next look at Label Studio fetches it again
                self._services.store.labels.not_fetched(self._project, task.task_id, task.url, str(error))
            return
        image = replace(image, white=white)
        if image.sha in self._images:
            self._skip(task, "It was left out: its image is the same file as that of a task labelled later.")
            return
        answers = self._services.store.answers.of_task(self._project, task.task_id)
        answers = {region: answer for region, answer in answers.items() if answer.sha == image.sha}
        _, statement = self._read(task, answers)
        self._draw(
            task,
            image,
            DrawnLabels(statement, tuple(sorted(statement.kinds)), *working_size(height, width), answers),
        )

    def _draw(self, task: LabelledTask, image: KeptImage, labels: DrawnLabels) -> None:
        """Draw every label once, to know what comes of it."""
        problems, types = list(labels.statement.problems), []
        product = self._product(task)
        prints = [f"{image.sha} {product!r}"]
        for name in labels.types:
            label, said = labels.draw(name)
            problems += said
            if label is not None:
                types.append(name)
                pixels = hashlib.sha256(np.ascontiguousarray(label.target).data)
                pixels.update(np.packbits(label.certain).data)
                prints.append(f"{name!r} {label.kind} {pixels.hexdigest()}")
        for problem in problems:
            self._skip(task, problem)
        if not types and not labels.statement.normal:
            if not problems:
                self._skip(task, "It was left out: its annotation says nothing about defects.")
            return
        labels = replace(labels, types=tuple(types))
        self._images[image.sha] = LabelledImage(image.sha, image, labels, product)
        self._prints.append("\n".join(prints))

    def add_references(self) -> None:
        """Add the references of every product, or say why not."""
        rows = {
            (row.product, row.sha): row
            for row in self._services.store.references.of_project(self._project)
            if row.state == "ready"
        }
        for (product, sha), row in sorted(rows.items()):
            image = self._kept(sha, partial(self._services.references.path, row))
            image = replace(image, white=self._white_points.of_references(self._project, product))
            try:
                image.read()
            except ImageError as error:
                self._skipped.append(f"The reference {row.name or sha[:12]} was left out: {error}")
                continue
            self._references.setdefault(product, []).append(image)
            self._prints.append(f"reference {sha} {product!r}")

    def finish(self) -> TrainingSet:
        """All that was added."""
        images = [self._read_alike(self._images[sha]) for sha in sorted(self._images)]
        for product in sorted({image.product for image in images} | set(self._references)):
            if white := self._white_points.of_product(self._project, product):
                self._prints.append(f"white {product!r} {white}")
        fingerprint = hashlib.sha256("\n".join(sorted(self._prints)).encode()).hexdigest()
        return TrainingSet(images, self._references, self._skipped, fingerprint)

    def _read_alike(self, image: LabelledImage) -> LabelledImage:
        """The image with the white point that its product has now: a later image may have raised it."""
        if not isinstance(image.load, KeptImage) or not image.load.white:
            return image
        white = self._white_points.of_product(self._project, image.product)
        return replace(image, load=replace(image.load, white=white))

    def _product(self, task: LabelledTask) -> str:
        return self._services.references.product_of(task.data, task.image)

    def _kept(self, sha: str, find: Callable[[], Path]) -> KeptImage:
        return KeptImage(sha, find, self._services.settings.max_megapixels)

    def _skip(self, task: LabelledTask, sentence: str) -> None:
        said = f"Task {task.task_id}: {sentence}"
        if said not in self._skipped:  # once for a task, whichever of its images it was said of
            self._skipped.append(said)


def key_of(project: str, image: LabelledImage) -> ImageKey:
    """What the engine knows a labelled image by."""
    return ImageKey(project, image.name, image.load.white if isinstance(image.load, KeptImage) else 0)


def whole(image: LabelledImage) -> Callable[[], NDArray[np.uint8]]:
    """Reads a labelled image as clicks and proposals see it, whatever size it is trained on at."""
    return image.load.whole if isinstance(image.load, KeptImage) else image.load


def _labelled_at(task: LabelledTask) -> tuple[float, int]:
    annotation = newest(task.live)
    return (annotation["changed_at"] if annotation else 0.0, task.task_id)
