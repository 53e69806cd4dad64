"""From a task and its clicks to a mask: the image found, prepared and segmented, every phase timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adclick_backend.brush.shapes import resize_mask
from adclick_backend.clicks.begun import unpacked
from adclick_backend.clicks.key_points import ClickObject
from adclick_backend.clicks.near import Near
from adclick_backend.config.labeling_config import ImageSettings
from adclick_backend.engine.all_alike import AlikeParts
from adclick_backend.engine.bank import ImageKey, Load, ReferenceBank
from adclick_backend.engine.click_answers import Segmentation
from adclick_backend.engine.engine import Engine
from adclick_backend.images.addresses import image_url
from adclick_backend.images.connections import Connections
from adclick_backend.images.task_images import LoadedImage
from adclick_backend.prompts.phrases import Prompts
from adclick_backend.protocol.body import Task
from adclick_backend.references.collection import References
from adclick_backend.store.proposal_source import ProposalSource
from adclick_backend.telemetry import Telemetry
from adclick_runtime.regions import Proposals
from model.clicks import Click

if TYPE_CHECKING:
    from model.interactive.elsewhere import Sample


@dataclass(frozen=True)
class Answered:
    """The answer to a click and what it comes from.

    Attributes:
        segmentation: mask and probability map.
        sha: SHA-256 of the image file.
        references: SHA-256 of the references it was compared with.
        model_version: name of the click network that answered.
        near: where the first click was expected.
    """

    segmentation: Segmentation
    sha: str
    references: tuple[str, ...]
    model_version: str
    near: Near


@dataclass(frozen=True)
class AnsweredAlike:
    """The answer to a click that asks for all that is alike; see :class:`Answered`."""

    found: AlikeParts
    sha: str
    references: tuple[str, ...]
    model_version: str
    near: Near


class Segmenter:
    """Brings a task's image, its references and its clicks to the engine. One serves all requests."""

    def __init__(
        self,
        connections: Connections,
        references: References,
        prompts: Prompts,
        engine: Engine,
        telemetry: Telemetry,
    ) -> None:
        self._connections = connections
        self._references = references
        self._prompts = prompts
        self._engine = engine
        self._telemetry = telemetry

    def prepare(self, project: str, task: Task, image: ImageSettings) -> None:
        """Do everything that a first click would have to wait for.

        Raises:
            ImageError, LabelStudioError, EngineError: with a sentence for a person.
        """
        self._telemetry.phases(self._engine.prepare(*self._asked(project, task, image)))

    def is_prepared(self, project: str, task: Task, image: ImageSettings) -> bool:
        """Whether all that lies on disk already; fetches the image, which a first click would wait for as well.

        Raises:
            ImageError, LabelStudioError: with a sentence for a person.
        """
        key, bank, _ = self._asked(project, task, image)
        return self._engine.is_prepared(key, bank)

    def look_ahead(self, project: str, task: Task, image: ImageSettings) -> None:
        """Open, for a task with a proposal, what a first click would look at from near.

        Raises:
            ImageError, LabelStudioError, EngineError: with a sentence for a person.
        """
        self._engine.look_ahead(*self._asked(project, task, image))

    def segment(
        self,
        project: str,
        task: Task,
        wanted: ClickObject,
        shown: ImageSettings,
        weights: Path | None,
        name: str,
    ) -> Answered:
        """The mask that the clicks ask for, in their frame: ``wanted.height`` x ``wanted.width`` pixels.

        Args:
            project: project id.
            task: the task.
            wanted: the clicks.
            shown: the image of the task that they lie in.
            weights: the click network of a trained version; None for the one that all projects share.
            name: of that network.

        Raises:
            VersionError: the click network cannot be used.
            ImageError, LabelStudioError, EngineError: with a sentence for a person.
        """
        image = self._fetch(project, task, shown)
        width, height = image.size
        clicks = _in_image(wanted, image)
        begun = unpacked(wanted.begun, wanted.height, wanted.width)
        bank = self._bank(project, task, shown)
        key = self._key(project, task, shown, image)
        near = self._near(wanted, key, bank)
        found = self._engine.click(
            key,
            bank,
            self._loader(image, key.white),
            clicks,
            weights,
            self._phrases(project, wanted),
            None if begun is None else resize_mask(begun, height, width),
            near,
        )
        self._count(found.milliseconds)
        if (width, height) != (wanted.width, wanted.height):
            # The browser was shown a scaled copy, as a resizing proxy gives it: answer in the frame it knows.
            found = replace(found, mask=resize_mask(found.mask, wanted.height, wanted.width))
        references = bank.without(image.sha256).references
        return Answered(found, image.sha256, references, name, near)

    def segment_alike(
        self,
        project: str,
        task: Task,
        wanted: ClickObject,
        shown: ImageSettings,
        weights: Path | None,
        name: str,
    ) -> AnsweredAlike:
        """Every place that is like the clicked ones, in image pixels; see :meth:`segment`."""
        image = self._fetch(project, task, shown)
        bank = self._bank(project, task, shown)
        key = self._key(project, task, shown, image)
        near = self._near(wanted, key, bank)
        found = self._engine.click_alike(
            key,
            bank,
            self._loader(image, key.white),
            _in_image(wanted, image),
            weights,
            self._phrases(project, wanted),
            near,
        )
        self._count(found.milliseconds)
        return AnsweredAlike(found, image.sha256, bank.without(image.sha256).references, name, near)

    def samples(
        self,
        project: str,
        task: Task,
        shown: ImageSettings,
        mask_of: Callable[[int, int], NDArray[np.bool_]],
        most: int,
    ) -> list[Sample]:
        """What parts of a mask look like, to be looked for in other images (:mod:`model.interactive.elsewhere`).

        Args:
            project: project id.
            task: the task.
            shown: the image of the task that the mask is of.
            mask_of: draws the mask (H, W) bool, given height and width of the image in pixels.
            most: so many parts at most, the largest.
        """
        image = self._fetch(project, task, shown)
        width, height = image.size
        key = self._key(project, task, shown, image)
        bank = self._bank(project, task, shown)
        return self._engine.samples(key, bank, self._loader(image, key.white), mask_of(height, width), most)

    def find_like(
        self, project: str, task: Task, image: ImageSettings, samples: Sequence[Sample]
    ) -> AlikeParts:
        """Every place of a task's image that is like parts of masks in other images, in image pixels."""
        return self._engine.find_like(*self._asked(project, task, image), samples)

    def source(self, project: str, task: Task, image: ImageSettings, asked: ProposalSource | None) -> str:
        """What a proposal for the task would come from; costs no more than a look into the database."""
        return self._engine.source(self._bank(project, task, image), asked)

    def propose(
        self, project: str, task: Task, image: ImageSettings, source: ProposalSource | None
    ) -> Proposals:
        """Regions for a task that nobody clicked, in image pixels.

        Raises:
            ImageError, LabelStudioError, EngineError: with a sentence for a person.
        """
        asked = self._asked(project, task, image)
        with self._telemetry.phase("proposal"):
            return self._engine.propose(*asked, source)

    def _asked(self, project: str, task: Task, shown: ImageSettings) -> tuple[ImageKey, ReferenceBank, Load]:
        """What the engine is told of a task: its image, its references, and how to read it."""
        image = self._fetch(project, task, shown)
        key = self._key(project, task, shown, image)
        return key, self._bank(project, task, shown), self._loader(image, key.white)

    def _near(self, wanted: ClickObject, key: ImageKey, bank: ReferenceBank) -> Near:
        """Where the first click was expected when it was answered, as long as the references are those of then."""
        if wanted.near is not None and wanted.near.bank == bank.without(key.sha).fingerprint:
            return wanted.near
        return self._engine.near(key, bank)

    def _count(self, milliseconds: dict[str, float]) -> None:
        """Note what an answer took, and whether its image had to be prepared first."""
        self._telemetry.phases(milliseconds)
        self._telemetry.images.labels("cold" if "features" in milliseconds else "warm").inc()

    def _phrases(self, project: str, wanted: ClickObject) -> list[str]:
        """What describes the type that was clicked, for a network that is to be told."""
        if not self._engine.hears:
            return []
        return self._prompts.for_label(project, "" if wanted.background else wanted.label)

    def _key(self, project: str, task: Task, shown: ImageSettings, image: LoadedImage) -> ImageKey:
        product = self._references.product_of(task.data, shown.key)
        white = self._references.white_points.of_image(project, product, image)
        return ImageKey(project, image.sha256, white)

    def _fetch(self, project: str, task: Task, image: ImageSettings) -> LoadedImage:
        url = image_url(task.data, image.value)
        with self._telemetry.phase("fetch"):
            return self._connections.load_image(url, project, task.id)

    def _bank(self, project: str, task: Task, image: ImageSettings) -> ReferenceBank:
        return self._references.bank(project, self._references.product_of(task.data, image.key))

    def _loader(self, image: LoadedImage, white: int) -> Load:
        def load() -> NDArray[np.uint8]:
            with self._telemetry.phase("decode"):
                return image.read(white)

        return load


def _in_image(wanted: ClickObject, image: LoadedImage) -> list[Click]:
    """The clicks in pixels of the image file; the browser may have been shown a scaled copy."""
    width, height = image.size
    return [
        Click(x * width / wanted.width, y * height / wanted.height, positive)
        for x, y, positive in wanted.clicks
    ]
