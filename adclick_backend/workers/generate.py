"""The job that learns the look of defect types from their masks and paints them on references."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adclick_backend.dashboard.contact_sheet import sheet_row
from adclick_backend.errors import ImageError
from adclick_backend.jobs.control import JobCancelled, JobFailed
from adclick_backend.labels.sync import sync
from adclick_backend.store.generated import NOTHING_LEFT, GeneratedFiles, Look, Origin, key_of_type
from adclick_backend.training.generation_material import GenerationMaterial
from adclick_backend.training.training_set import KeptImage, build_training_set
from adclick_backend.workers.all_tasks import Control
from model.checkpoint.manifest import CheckpointError
from model.labels.labelled import LabelledImage

if TYPE_CHECKING:
    from adclick_backend.services import Services
    from model.generation.anogen.examples import Example
    from model.generation.anogen.generator import Generator, Learned
    from model.generation.anogen.series import Generated

log = logging.getLogger(__name__)

Load = Callable[[str, str], "Generator"]

FEW = 3
"""Labelled images of a type that are better than fewer: what they have in common is what is learned."""

MOST_EXAMPLES = 20
"""Labelled images that a look is learned from."""

EXAMPLES_MB = 400
"""Memory for their pixels."""

SPARE = 3
"""Numbers of a series that are tried for each picture that is wanted: on some, nothing comes out."""

UNSTATED = (
    "The generator that ships was trained on sets without a stated licence as well, and ADCLICK_CHECKPOINT asks for "
    "weights that were not: train one with `adclick train generator`, and name its file in ADCLICK_GENERATOR."
)

LEARNING = 0.4
"""Share of the work on a type that learning its look counts for."""


def run(project: str, services: Services, control: Control, *, load: Load | None = None) -> str:
    """Generate what people asked for on the page *Generated defects*, one type after the other.

    A picture that is there stays and counts, so that a job that was killed goes on where it stopped when it is asked
    for again. Nothing of this goes to Label Studio.

    Args:
        project: project id.
        services: of this process.
        control: of the job.
        load: makes the generator of a name, on a device; ``model.generation.anogen.presets.load_generator`` by default.

    Returns:
        What was done, as a sentence for a person.

    Raises:
        JobFailed: nothing could be generated for any type; the message says why.
        OSError: a picture cannot be written, as when the disk is full; those before it are whole.
    """
    return _Generating(project, services, control, load or _load_generator()).run()


def _load_generator() -> Load:
    from model.generation.anogen.presets import load_generator

    return load_generator


class _Refused(Exception):
    """A type of which nothing can be generated; the message says why."""


@dataclass(frozen=True)
class _Host:
    """A reference that is painted on."""

    image: KeptImage
    product: str


class _Generating:
    """One run of the job."""

    def __init__(self, project: str, services: Services, control: Control, load: Load) -> None:
        self._project, self._services, self._control, self._load = project, services, control, load
        self._files = GeneratedFiles(services.files)
        self._share, self._each = 0.0, 1.0  # of the job that is done, and that a type is

    def run(self) -> str:
        """See the function `run`."""
        wanted = self._files.wanted(self._project)
        if not wanted:
            return NOTHING_LEFT
        try:
            return self._all(wanted)
        except JobCancelled:
            for type, count in self._files.wanted(self._project).items():
                self._files.done(self._project, type, count)
            raise

    def _all(self, wanted: dict[str, int]) -> str:
        self._control.report("Fetching labels and images from Label Studio.", 0.0)
        services = self._services
        problem = sync(
            self._project,
            services.labels,
            services.store,
            services.connections,
            lambda share: self._control.report("Fetching labels and images from Label Studio.", 0.0),
        )
        services.references.follow(self._project, services.labels)
        if problem:
            log.warning(problem)
        data = build_training_set(self._project, services)
        material = GenerationMaterial.of_project(self._project, services, data)
        kept = {
            (product, image.sha): image for product, images in data.references.items() for image in images
        }
        generator, said = self._generator()
        done, refused = [], []
        for number, (type, count) in enumerate(wanted.items()):
            self._share, self._each = number / len(wanted), 1 / len(wanted)
            try:
                done.append(self._type(type, count, material, kept, generator))
            except _Refused as error:
                refused.append(f"{type}: {error}")
            self._files.done(self._project, type, count)
        words = " ".join([*done, *refused, said]).strip()
        if not done:
            raise JobFailed(words)
        return words

    def _generator(self) -> tuple[Generator, str]:
        """The generator of the settings, or the one that ships, and why."""
        from model.generation.anogen.generator import GeneratorError
        from model.generation.anogen.presets import SMALL

        name, device = self._services.settings.generator, self._services.settings.device
        self._control.report("Loading the generator.", 0.0)
        if name == SMALL and self._services.settings.only_stated:
            raise JobFailed(UNSTATED)
        try:
            return self._load(name, device), ""
        except (GeneratorError, CheckpointError, OSError) as error:
            if name == SMALL or self._services.settings.only_stated:
                raise JobFailed(str(error)) from error
            log.warning("The generator %s cannot be used: %s", name, error)
            said = (
                f"The generator that ships painted, because ADCLICK_GENERATOR={name} cannot be used: {error}"
            )
        try:
            return self._load(SMALL, device), said
        except (GeneratorError, CheckpointError) as error:
            raise JobFailed(f"{said} {error}") from error

    def _type(
        self,
        type: str,
        count: int,
        material: GenerationMaterial,
        kept: dict[tuple[str, str], KeptImage],
        generator: Generator,
    ) -> str:
        """Generate until so many pictures of a type are kept."""
        from model.generation.anogen.generator import GeneratorError
        from model.generation.anogen.series import generate

        images, examples = self._examples(type, material)
        products = {image.product for image in images}
        hosts = {
            (product, sha): pixels
            for product, named in material.hosts.items()
            if product in products
            for sha, pixels in named.items()
        }
        if not hosts:
            of = " or ".join(sorted(filter(None, products)))
            raise _Refused(
                f"There is no reference{f' of {of}' if of else ''} to paint on: mark at least one image as free of "
                "defects."
            )
        there = self._files.pictures(self._project, key_of_type(type))
        found, start = sum(p.kept for p in there), max((p.origin.number for p in there), default=-1) + 1
        before, names = found, list(hosts)
        if found >= count:
            return f"{type}: {found} pictures are there already."
        try:
            learned = self._learned(type, images, examples, generator)
            made = generate(
                generator,
                learned,
                examples,
                list(hosts.values()),
                type,
                start + SPARE * (count - found),
                go_on=lambda: self._tell(type, found, count, before),
                start=start,
            )
            for one in made:
                self._add(
                    one,
                    kept[names[one.host]],
                    names[one.host][0],
                    images,
                    generator.name,
                    hosts[names[one.host]],
                )
                found += 1
                self._tell(type, found, count, before)
                if found >= count:
                    break
        except GeneratorError as error:
            if found == before:
                raise _Refused(str(error)) from error
            return f"{type}: {_pictures(found - before)} generated, and then no more: {error}"
        if found == before:
            raise _Refused("Nothing came out that can be told from a good image.")
        return f"{type}: {_pictures(found - before)} generated, {_learned_from(type, len(images), material)}."

    def _examples(self, type: str, material: GenerationMaterial) -> tuple[list[LabelledImage], list[Example]]:
        """The labelled images that the look is learned from."""
        from model.generation.anogen.examples import Example

        images: list[LabelledImage] = []
        examples: list[Example] = []
        room, whole = EXAMPLES_MB << 20, 0
        for image in material.masked.get(type, ()):
            mask = np.asarray(image.labels[type].target >= 0.5)
            if mask.all():
                whole += 1
                continue
            if not mask.any() or len(images) >= MOST_EXAMPLES or room < 0:
                continue
            try:
                example = Example(image.load(), mask)
            except ImageError as error:
                log.warning("The image %s was left out: %s", image.name[:12], error)
                continue
            room -= example.pixels.nbytes
            images.append(image)
            examples.append(example)
        if examples:
            return images, examples
        if whole:
            raise _Refused(
                "Its mask fills the whole image, so that nothing says what the defect is: mark the defect alone."
            )
        if material.labelled.get(type):
            raise _Refused(
                "It is labelled by boxes or choices alone, which do not say what the defect looks like: accept a mask "
                "by clicking, in one image or better three."
            )
        raise _Refused("No image has a label of this type any more.")

    def _learned(
        self, type: str, images: Sequence[LabelledImage], examples: Sequence[Example], generator: Generator
    ) -> Learned:
        """What this generator knows of a type; learned unless it was from these very masks."""
        from model.generation.anogen.generator import Learned

        fingerprint = _fingerprint(images, examples)
        look = self._files.look(self._project, type)
        if look is not None and (look.generator, look.fingerprint) == (generator.name, fingerprint):
            known = np.array(look.vector, np.float32)
            return Learned(known, look.generator, look.loss, look.steps, look.seconds, len(images))

        def report(share: float, loss: float) -> None:
            words = f"{type}: learning its look from {_images(len(images))}."
            self._control.report(words, self._share + self._each * LEARNING * share)

        learned = generator.learn(examples, report=report)
        names = tuple(image.name for image in images)
        vector = tuple(float(value) for value in learned.vector)
        self._files.keep_look(
            self._project,
            Look(
                type,
                learned.generator,
                vector,
                learned.loss,
                learned.steps,
                learned.seconds,
                names,
                fingerprint,
            ),
        )
        return learned

    def _add(
        self,
        made: Generated,
        host: KeptImage,
        product: str,
        images: Sequence[LabelledImage],
        generator: str,
        normal: np.ndarray,
    ) -> None:
        names = tuple(image.name for image in images)
        origin = Origin(
            made.type, made.number, made.seed, made.box.edges, host.sha, product, host.white, generator, names
        )
        row = sheet_row(normal, made.pixels, made.mask, made.box)
        self._files.add(self._project, origin, made.pixels, made.mask, row)

    def _tell(self, type: str, found: int, count: int, before: int) -> None:
        done = LEARNING + (1 - LEARNING) * (found - before) / max(count - before, 1)
        self._control.report(f"{type}: {found} of {count} pictures.", self._share + self._each * done)


def _fingerprint(images: Sequence[LabelledImage], examples: Sequence[Example]) -> str:
    """Changes when an image or a mask does."""
    digest = hashlib.sha256()
    for image, example in zip(images, examples, strict=True):
        digest.update(f"{image.name} {example.mask.shape}".encode())
        digest.update(np.packbits(example.mask).data)
    return digest.hexdigest()


def _learned_from(type: str, number: int, material: GenerationMaterial) -> str:
    """From how many labelled images, and what the others are for."""
    kept = material.masks[type] - len(material.masked[type])
    beside = f", {kept} more {'is' if kept == 1 else 'are'} kept to judge trainings by" if kept else ""
    few = f"; {FEW} are better" if material.masks[type] < FEW else ""
    return f"learned from {_images(number)}{beside}{few}"


def _pictures(number: int) -> str:
    return "1 picture was" if number == 1 else f"{number} pictures were"


def _images(number: int) -> str:
    return "1 labelled image" if number == 1 else f"{number} labelled images"
