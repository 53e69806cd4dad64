"""From a task and its clicks to a mask: the image found, prepared and segmented, every phase timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.bodies import Task
from adclick_backend.clicks import Click, ClickObject
from adclick_backend.connections import Connections
from adclick_backend.engine import Bank, Engine, ImageKey, Segmentation
from adclick_backend.images import LoadedImage
from adclick_backend.references import References, image_url
from adclick_backend.telemetry import Telemetry


class Segmenter:
    """Brings a task's image, its references and its clicks to the engine. One serves all requests."""

    def __init__(
        self, connections: Connections, references: References, engine: Engine, telemetry: Telemetry
    ) -> None:
        self._connections = connections
        self._references = references
        self._engine = engine
        self._telemetry = telemetry

    def prepare(self, project: str, task: Task, image_field: str) -> None:
        """Do everything that a first click would have to wait for.

        Raises:
            ImageError, LabelStudioError, EngineError: with a sentence for a person.
        """
        image = self._fetch(project, task, image_field)
        key = ImageKey(project, image.sha256)
        self._telemetry.phases(self._engine.prepare(key, self._bank(project, task), self._loader(image)))

    def segment(self, project: str, task: Task, wanted: ClickObject, image_field: str) -> Segmentation:
        """The mask that the clicks ask for, in their frame: ``wanted.height`` x ``wanted.width`` pixels.

        Raises:
            ImageError, LabelStudioError, EngineError: with a sentence for a person.
        """
        image = self._fetch(project, task, image_field)
        width, height = image.size
        clicks = [
            Click(x * width / wanted.width, y * height / wanted.height, positive)
            for x, y, positive in wanted.clicks
        ]
        found = self._engine.click(
            ImageKey(project, image.sha256), self._bank(project, task), self._loader(image), clicks
        )
        self._telemetry.phases(found.milliseconds)
        self._telemetry.images.labels("cold" if "features" in found.milliseconds else "warm").inc()
        if (width, height) == (wanted.width, wanted.height):
            return found
        # The browser was shown a scaled copy, as a resizing proxy gives it: answer in the frame it knows.
        mask = cv2.resize(
            found.mask.astype(np.uint8), (wanted.width, wanted.height), interpolation=cv2.INTER_NEAREST
        )
        return replace(found, mask=mask.astype(bool))

    def _fetch(self, project: str, task: Task, image_field: str) -> LoadedImage:
        url = image_url(task.data, image_field)
        with self._telemetry.phase("fetch"):
            return self._connections.load_image(url, project, task.id)

    def _bank(self, project: str, task: Task) -> Bank:
        return self._references.bank(project, self._references.product_of(task.data))

    def _loader(self, image: LoadedImage) -> Callable[[], NDArray[np.uint8]]:
        def load() -> NDArray[np.uint8]:
            with self._telemetry.phase("decode"):
                return image.pixels

        return load
