"""Looking at one image as the serving version would, for a person who is curious or a machine on the line: nothing of
it becomes a label."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from adclick_backend import deadline
from adclick_backend.answers.proposer import Proposer, Serving, by_hand
from adclick_backend.clicks.traffic import ClickTraffic
from adclick_backend.engine.bank import ImageKey, ReferenceBank, VersionError
from adclick_backend.engine.differences import Difference
from adclick_backend.engine.engine import Engine
from adclick_backend.errors import BusyError, ImageError
from adclick_backend.images.addresses import image_name, image_url
from adclick_backend.images.connections import Connections
from adclick_backend.images.decode import Pixels
from adclick_backend.images.task_images import LoadedImage
from adclick_backend.label_studio.instance import LabelStudioError
from adclick_backend.labels.mirror import Labels
from adclick_backend.references.collection import References
from adclick_backend.settings import Settings
from adclick_backend.store import Store
from adclick_backend.store.versions import Registry
from adclick_runtime.detection import Detection
from adclick_runtime.images.limits import check_bytes
from adclick_runtime.regions import Map, Proposals

PATIENCE_S = 15.0
"""So long an image waits for another one that is being looked at."""


@dataclass(frozen=True)
class Chosen:
    """An image to be looked at.

    Attributes:
        image: the file.
        product: which references it is compared with; "" when products are not told apart.
        name: what a person knows it by.
        task_id: of a task in Label Studio; None for a file that was handed in.
    """

    image: LoadedImage
    product: str
    name: str
    task_id: int | None = None


@dataclass(frozen=True)
class Tried:
    """What was seen in an image.

    Attributes:
        pixels: of the image, (H, W, 3) uint8 RGB.
        version: name of the version that looked.
        proposals: what it finds; its source is "none" where there is too little to judge by.
        needed: the score from which on a part is proposed, in [0, 1]; infinite when none is.
        by_hand: types whose threshold a person set, and of which every part is proposed.
        probability: of a defect at each place, the highest of all types (Eq. 7), (h, w) float32 in [0, 1] in the
            working frame, which covers the whole image; None where there is too little to judge by.
        differences: against the most similar references, the most similar first.
        references: how many references it was compared with.
    """

    pixels: Pixels
    version: str
    proposals: Proposals
    needed: float
    by_hand: frozenset[str]
    probability: Map | None
    differences: Sequence[Difference]
    references: int


@dataclass(frozen=True)
class _Seen:
    """An image beside its references: what is proposed, and the maps that it comes from, none without a source."""

    key: ImageKey
    bank: ReferenceBank
    pixels: Pixels
    serving: Serving
    proposals: Proposals
    maps: Mapping[str, Map]
    milliseconds: float


class Trier:
    """Looks at single images, for the dashboard and for a line. One serves all requests.

    One image at a time, and before each step it gives way to clicks: whoever labels does not wait for whoever tries.
    Neither the image nor what was found is kept as a label, a reference or a white point.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        engine: Engine,
        registry: Registry,
        proposer: Proposer,
        references: References,
        labels: Labels,
        connections: Connections,
        traffic: ClickTraffic,
    ) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self._registry = registry
        self._proposer = proposer
        self._references = references
        self._labels = labels
        self._connections = connections
        self._traffic = traffic
        self._one = threading.Lock()

    def handed_in(self, project: str, data: bytes, name: str, product: str) -> Chosen:
        """A file that a person handed in.

        Raises:
            ImageError: it is too large, or a task of this project could not show it.
        """
        check_bytes(len(data), self._settings.max_image_mb)
        if problem := self._references.missing_product(self._labels.config(project), product):
            raise ImageError(problem)
        return Chosen(LoadedImage(data, self._settings.max_megapixels), product, name[:200] or "image")

    def of_task(self, project: str, task: int, key: str = "") -> Chosen:
        """An image of a task: the copy that is kept because somebody labelled it, else as Label Studio gives it.

        Args:
            project: project id.
            task: its number.
            key: of the image in the labeling config; "" for the first one that the task shows.

        Raises:
            ImageError: the project has no such task, or it shows no such image.
            LabelStudioError: Label Studio cannot be asked.
        """
        config = self._labels.config(project)
        known = self._store.labels.some(project, [task])
        data = known[0].data if known else self._data_of(project, task)
        shown = next((image for image in config.shown_images(data) if key in ("", image.key)), None)
        if shown is None:
            names = ", ".join(image.key for image in config.images)
            raise ImageError(f"Task {task} shows no image called {key[:40]!r}; there are {names}.")
        url = image_url(data, shown.value)
        product = self._references.product_of(data, shown.key)
        copy = next((row.file for row in known if row.url == url and row.file), "")
        kept = self._kept(project, copy) if copy else b""
        if kept:
            image = LoadedImage(kept, self._settings.max_megapixels)
        else:
            image = self._connections.load_image(url, project, task)
        return Chosen(image, product, image_name(url), task)

    def _kept(self, project: str, copy: str) -> bytes:
        """The kept copy of a labelled image; empty when it is gone, or cannot be fetched."""
        try:
            return self._labels.path(project, copy).read_bytes()
        except OSError:
            return b""

    def look(self, project: str, chosen: Chosen) -> Tried:
        """What the version that serves sees in an image.

        Raises:
            ImageError: it cannot be read, or another image is being looked at all the time.
            EngineError: the model cannot be loaded, or a reference cannot be read.
        """
        with self._turn():
            seen = self._see(project, chosen, self._proposer.serving(project))
            found = np.max(np.stack(list(seen.maps.values())), axis=0) if seen.maps else None
            load, serving = (lambda: seen.pixels), seen.serving
            differences = self._engine.differences(seen.key, seen.bank, load, self._traffic.give_way)
            others = seen.bank.without(seen.key.sha).references
            needed = self._proposer.needed(project, chosen.product, serving)
            set_by = by_hand(seen.proposals, serving.source) if serving.wanted else frozenset()
            return Tried(
                seen.pixels, serving.name, seen.proposals, needed, set_by, found, differences, len(others)
            )

    def detect(self, project: str, chosen: Chosen) -> tuple[Detection | None, str]:
        """The same for a machine on the line, which gets what a bundle of this version would say.

        Returns:
            What was found, however sure, None where there is too little to judge by, and the name of the version.

        Raises:
            ImageError: it cannot be read, or another image is being looked at all the time.
            EngineError: the model cannot be loaded, or a reference cannot be read.
        """
        with self._turn():
            seen = self._see(project, chosen, self._proposer.serving(project))
            if not seen.maps:
                return None, seen.serving.name
            self._traffic.give_way()
            unlike = self._engine.unlike(seen.key, seen.bank, lambda: seen.pixels, seen.serving.source)
        highest, regions = np.maximum.reduce(list(seen.maps.values())), seen.proposals.regions
        found = Detection(
            regions=regions,
            map=highest,
            score=float(highest.max()),
            type=regions[0].type if regions else "",
            unlike=unlike,
            size=seen.proposals.size,
            milliseconds=seen.milliseconds,
        )
        return found, seen.serving.name

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._one.acquire(timeout=deadline.remaining(PATIENCE_S)):
            raise BusyError("Another image is being looked at; try this one again in a moment.")
        try:
            yield
        finally:
            self._one.release()

    def _see(self, project: str, chosen: Chosen, serving: Serving) -> _Seen:
        image, give_way, engine = chosen.image, self._traffic.give_way, self._engine
        key = ImageKey(project, image.sha256, self._white(project, chosen))
        bank = self._references.bank(project, chosen.product)
        pixels = image.read(key.white)
        started = time.perf_counter()

        def load() -> Pixels:
            return pixels

        try:
            give_way()
            proposals = engine.propose(key, bank, load, serving.source)
            give_way()
            maps = engine.maps(key, bank, load, serving.source)
        except VersionError as error:
            if error.weights is not None:
                self._registry.refuse(project, error.weights, str(error))
            before = self._proposer.serving(project)
            if before == serving:
                raise
            return self._see(project, chosen, before)
        took = (time.perf_counter() - started) * 1000
        return _Seen(key, bank, pixels, serving, proposals, maps, took)

    def _white(self, project: str, chosen: Chosen) -> int:
        """What counts as white in a 16-bit image; unlike an image that is labelled, this one decides on nothing."""
        if not chosen.image.is_deep:
            return 0
        known = self._references.white_points.of_product(project, chosen.product)
        return known or chosen.image.brightness.white

    def _data_of(self, project: str, task: int) -> Mapping[str, Any]:
        """The data of a task that nobody labelled yet."""
        missing = ImageError(f"Project {project} has no task {task} in Label Studio.")
        try:
            raw = self._connections.label_studio(project).get(f"/api/tasks/{task}/")
        except LabelStudioError as error:
            raise missing if error.status == 404 else error from error
        if not isinstance(raw, dict) or str(raw.get("project", project)) != project:
            raise missing
        data = raw.get("data")
        return data if isinstance(data, dict) else {}
