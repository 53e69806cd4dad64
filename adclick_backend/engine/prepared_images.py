"""Images as one backbone sees them: opened in memory, kept on disk, compared with their references."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from adclick_backend.engine.bank import ImageKey, Load, ReferenceBank
from adclick_backend.engine.cache import FeatureFiles, as_kept
from adclick_backend.engine.lru import WeightedLru
from adclick_backend.engine.reference_features import ReferenceFeatures
from adclick_backend.engine.turning import TURNS
from adclick_backend.engine.windows import Windows
from adclick_backend.images.decode import Pixels
from adclick_backend.settings import Settings
from model.features.number_format import number_format

if TYPE_CHECKING:
    from adclick_runtime.frame import Frame
    from model.detectors.detector import Scene
    from model.evidence.prepared import Prepared
    from model.features.encoding import Encoded
    from model.interactive.answer import Look
    from model.interactive.predictor import Predictor

ENCODED_MB = 32
"""Memory for the features of images that were opened last: detectors look at them, clicks do not."""

BANKS = 64
"""Of so many it is remembered what is usual in them."""

MEASURED_REFERENCES = 8
"""References that are compared with the others of their bank before anything is proposed from the residual alone."""


@dataclass(frozen=True)
class Opened:
    """A prepared image in memory, and which references it is most like, best first."""

    prepared: Prepared
    frame: Frame
    nearest: tuple[str, ...]


class PreparedImages:
    """Opens images, and keeps what was seen of them and of their references.

    Args:
        settings: paths, sizes and limits.
        key: of the backbone and of the code, for what is kept on disk.
        model: gives the network that prepares, loading it if need be.
        preparing: the thread that does so.
        share: of the memory that the settings allow for prepared images.
    """

    def __init__(
        self,
        settings: Settings,
        key: str,
        model: Callable[[], Predictor],
        preparing: ThreadPoolExecutor,
        share: float = 1.0,
    ) -> None:
        computing = number_format(settings.number_format, settings.device)
        self.files = FeatureFiles(settings.data_dir, key, settings.disk_cache_mb, computing.name)
        self.references = ReferenceFeatures(settings, self.files, model)
        self.windows = Windows(model, self.references.kept_copy)
        self._model, self._preparing = model, preparing
        self._opened: WeightedLru[tuple[ImageKey, str], Opened] = WeightedLru(
            int(settings.memory_cache_mb * share) << 20
        )
        self._encoded: WeightedLru[ImageKey, Encoded] = WeightedLru(ENCODED_MB << 20)
        self._levels: WeightedLru[tuple[str, str], float] = WeightedLru(BANKS)

    def encode_reference(self, key: ImageKey, pixels: Pixels) -> None:
        """Compute and keep the features of a reference (H, W, 3) uint8 RGB; nothing to do if they are there."""
        if not self.files.has(key.project, key.name):
            self._preparing.submit(self.references.encode, key, pixels).result()

    def open(self, key: ImageKey, bank: ReferenceBank, load: Load, milliseconds: dict[str, float]) -> Opened:
        """An image ready to be looked at; quick when it already is.

        Args:
            key: the image.
            bank: its references, itself not among them.
            load: reads the image (H, W, 3) uint8 RGB; only called when it has to be prepared.
            milliseconds: told what took how long, by name.
        """
        name = (key, bank.fingerprint)
        with self._opened.flight(name):
            if (opened := self._opened.get(name)) is not None:
                return opened
            stored = self.files.load_prepared(key.project, key.name, bank.fingerprint)
            if stored is None:
                started = time.perf_counter()
                pixels = self.windows.pixels(key, load)
                milliseconds["read"] = since(started)
                stored = self._preparing.submit(self._prepare, key, bank, pixels, milliseconds).result()
            prepared, shape, nearest = stored
            opened = Opened(prepared, self.frame(shape), nearest)
            self._opened.put(name, opened, prepared.nbytes)
            return opened

    def closer(self, key: ImageKey, bank: ReferenceBank, load: Load, opened: Opened) -> Look:
        """What opens windows of an opened image (:meth:`Windows.look`), in the thread that calls; see :meth:`scene`."""
        return partial(self.windows.look, key, bank, opened.nearest, load)

    def scene(self, key: ImageKey, bank: ReferenceBank, load: Load, opened: Opened, product: str) -> Scene:
        """An opened image as detectors are shown it; computes in the thread that calls.

        Args:
            key: the image.
            bank: its references, itself not among them.
            load: reads the image (H, W, 3) uint8 RGB; only called when it was not opened lately.
            opened: the image.
            product: what the detectors know its product by.
        """
        from model.detectors.detector import Scene

        if (image := self._encoded.get(key)) is None:
            image = self._model().encode(self.windows.pixels(key, load))
            self._remember(key, image)
        references = [self.references.of(bank.key(sha)) for sha in opened.nearest]
        return Scene(product, opened.frame, as_kept(image), references, opened.prepared)

    def _remember(self, key: ImageKey, image: Encoded) -> None:
        """Keep the features of an image, for the detector that may look at it next."""
        held = sum(maps.nbytes for maps in image.pyramid.values()) + image.colour.nbytes
        self._encoded.put(key, image, held)

    def frame(self, shape: tuple[int, ...]) -> Frame:
        """The working frame of an image of ``shape`` (height, width, ...)."""
        from adclick_runtime.frame import Frame

        return Frame.of(shape[0], shape[1], self._model().long_side)

    def leave_one_out(
        self, bank: ReferenceBank, progress: Callable[[int, int], None] | None = None
    ) -> dict[str, float]:
        """See :meth:`adclick_backend.engine.engine.Engine.leave_one_out`."""
        if len(bank.references) < 3:
            return {}
        usual, count = self.references.usual(bank), len(bank.references)
        levels = {}
        for done, sha in enumerate(bank.references, 1):
            levels[sha] = self._preparing.submit(self.references.usual_of, bank, sha).result()
            # An image that is opened meanwhile need not measure the first ones again.
            if usual.wanted(bank.references, MEASURED_REFERENCES) == sha:
                usual.put({sha: levels[sha]}, count)
            if progress is not None:
                progress(done, count)
        usual.put(levels, count, checked=True)
        return {sha: found["joint"] for sha, found in levels.items()}

    def least_turned(
        self, bank: ReferenceBank, sha: str, enough: float, give_way: Callable[[], None] = lambda: None
    ) -> float:
        """See :meth:`adclick_backend.engine.engine.Engine.least_turned`."""
        least = math.inf
        for degrees in TURNS:
            give_way()
            least = min(
                least, self._preparing.submit(self.references.usual_turned, bank, sha, degrees).result()
            )
            if least <= enough:
                break
        return least

    def peaks(self, bank: ReferenceBank) -> list[float]:
        """The highest suspicion in some references of a bank, each left out of it in turn."""
        from model.evidence.anomaly_map import PEAK

        usual = self.references.usual(bank)
        while sha := usual.wanted(bank.references, MEASURED_REFERENCES):
            # one at a time: a click may be waiting
            self._preparing.submit(self.references.measure, bank, sha).result()
        return usual.every(bank.references, PEAK, MEASURED_REFERENCES)

    def usual_level(self, bank: ReferenceBank) -> float:
        """The mean over some references of the median energy of each, matched with the others; 0 for fewer than two."""
        if len(bank.references) < 2:
            return 0.0
        name = (bank.project, bank.fingerprint)
        with self._levels.flight(name):
            if (known := self._levels.get(name)) is not None:
                return known
            measured, level_of = bank.references[:MEASURED_REFERENCES], self.references.level_of
            levels = [self._preparing.submit(level_of, bank, sha).result() for sha in measured]
            found = sum(levels) / len(levels)
            self._levels.put(name, found, 1)
            return found

    def taken_along(
        self, bank: ReferenceBank
    ) -> tuple[Predictor, dict[str, float] | None, list[float], float, list[Callable[[], Encoded]]]:
        """What images of a bank are compared with, for a detector that leaves the backend.

        Returns:
            What sees them; what energies are usual in the bank, None for fewer than two references; the highest
            suspicion in some references, and the mean over the same of their median energies, none and 0 for fewer than
            two; and what reads the features of each reference.
        """
        several = len(bank.references) > 1
        normal = self._preparing.submit(self.references.normal, bank).result() if several else None
        peaks = self.peaks(bank) if several else []
        read: list[Callable[[], Encoded]] = [
            partial(self.references.of, bank.key(sha)) for sha in bank.references
        ]
        return self._model(), normal, peaks, self.usual_level(bank), read

    def _prepare(
        self, key: ImageKey, bank: ReferenceBank, pixels: Pixels, milliseconds: dict[str, float]
    ) -> tuple[Prepared, tuple[int, int], tuple[str, ...]]:
        predictor = self._model()
        started = time.perf_counter()
        image = predictor.encode(pixels)
        milliseconds["features"] = since(started)
        self._remember(key, image)
        started = time.perf_counter()
        nearest, normal = self.references.nearest(bank, image), self.references.normal(bank)
        references = [self.references.of(bank.key(sha)) for sha in nearest]
        milliseconds["references"] = since(started)
        started = time.perf_counter()
        prepared, shape = (
            predictor.prepare(image, references, normal).kept(),
            (pixels.shape[0], pixels.shape[1]),
        )
        milliseconds["match"] = since(started)
        self.files.save_prepared(key.project, key.name, bank.fingerprint, prepared, shape, nearest)
        return prepared, shape, nearest


def since(started: float) -> float:
    """Milliseconds that went by since a reading of ``time.perf_counter``."""
    return (time.perf_counter() - started) * 1000
