"""The only door to the model: prepared images, clicks, references. Importing this module imports no torch."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from adclick_backend.engine.bank import EngineError, ImageKey, Load, ReferenceBank, VersionError
from adclick_backend.engine.cache import FeatureFiles, WeightedLru, layout
from adclick_backend.engine.networks import SegmentationNetworks
from adclick_backend.engine.reference_features import ReferenceFeatures
from adclick_backend.engine.windows import Windows
from adclick_backend.images.decode import Pixels
from adclick_backend.settings import Settings
from model.clicks import Click
from model.features.number_format import number_format
from model.segmentation.regions import Map, Proposals, Source, propose

if TYPE_CHECKING:
    from model.clicks import Click as ModelClick
    from model.evidence.prepared import Prepared
    from model.features.encoding import Frame
    from model.interactive.answer import Answer
    from model.interactive.config import ClickConfig
    from model.interactive.predictor import Predictor
    from model.interactive.zoom import Window

log = logging.getLogger(__name__)

FEWEST_REFERENCES = 3
"""With fewer, nobody can say what is usual, and nothing is proposed that was not learned from labels."""

MEASURED_REFERENCES = 8
"""References that are compared with the others of their bank before anything is proposed from the residual alone."""


@dataclass(frozen=True)
class Segmentation:
    """The answer to a click.

    Attributes:
        mask: (H, W) bool, of the image's size.
        probability: (h, w) float32 in [0, 1], in the model's working frame.
        score: expected IoU of the mask, in [0, 1].
        milliseconds: what the parts of the answer took, by name.
    """

    mask: NDArray[np.bool_]
    probability: NDArray[np.float32]
    score: float
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class _Opened:
    """A prepared image in memory, and which references it is most like, best first."""

    prepared: Prepared
    frame: Frame
    nearest: tuple[str, ...]


class Engine:
    """Runs the model for all threads of a process.

    Two threads of its own do all computing, one the clicks and one the preparations: a click never waits for the
    preparation of another image, they share the processor instead of fighting for it, and the working memory that
    torch keeps for every thread that ever computed is kept twice, not once for each thread of the server.

    Args:
        settings: paths, sizes and limits.
        checkpoint: weights to use instead of ``settings.checkpoint`` or the packaged ones.
        config: how clicks are answered, where it is not as usual; what such an engine keeps on disk is its own.
    """

    def __init__(self, settings: Settings, checkpoint: Path | None = None, config: ClickConfig | None = None):
        from model.checkpoint.described import check_click
        from model.checkpoint.manifest import PACKAGED, PACKAGED_SEG, read_manifest

        self._settings, self._config = settings, config
        self._weights = checkpoint or settings.checkpoint or PACKAGED
        self.state: Literal["cold", "loading", "ready", "failed"] = "cold"
        self.failure: str | None = None
        self.untrainable = ""
        """Why no project can be trained behind this click network, as a sentence; "" when it can."""
        try:
            manifest = read_manifest(self._weights)
            check_click(manifest, self._weights.name)
            self.version, self._sha256 = str(manifest["version"]), str(manifest["sha256"])
            key = f"{self._sha256[:16]}-{layout(manifest['long_side'])}"
            if manifest["preset"] != "lite":
                self.untrainable = (
                    f"Projects cannot be trained while clicks are answered by {self.version} of the preset "
                    f"{manifest['preset']!r}: what is trained sees with the eyes of a 'lite' network. Start the "
                    "backend without ADCLICK_CHECKPOINT, or with one of the preset 'lite', and train again."
                )
        except RuntimeError as error:
            self.version, self.state, self.failure = "none", "failed", str(error)
            key = self._sha256 = "none"
        own = key if config is None else f"{key}-{config.fingerprint}"
        computing = number_format(settings.number_format, settings.device)
        self._features = FeatureFiles(settings.data_dir, own, settings.disk_cache_mb, computing.name)
        self._opened: WeightedLru[tuple[ImageKey, str], _Opened] = WeightedLru(settings.memory_cache_mb << 20)
        self._proposals: WeightedLru[tuple[ImageKey, str, Path | None], Proposals] = WeightedLru(32 << 20)
        self._answers: WeightedLru[tuple[ImageKey, str, tuple[ModelClick, ...]], Answer] = WeightedLru(
            64 << 20
        )
        self._references = ReferenceFeatures(settings, self._features, self._model)
        self._windows = Windows(self._model, self._references.kept_copy)
        self._expected: WeightedLru[tuple[ImageKey, str], list[Window]] = WeightedLru(1000)
        # Trained behind the packaged backbone: behind another one it sees nothing that it knows.
        packaged = PACKAGED_SEG if self._weights == PACKAGED and PACKAGED_SEG.exists() else None
        self._segmentation = SegmentationNetworks(
            settings.device, packaged, number_format=settings.number_format
        )
        self._loading = threading.Lock()
        self._clicking = ThreadPoolExecutor(1, "adclick-click")
        self._preparing = ThreadPoolExecutor(1, "adclick-prepare")
        self._predictor: Predictor | None = None

    # --- loading

    def warm_up(self) -> None:
        """Load the weights now and run the network once, so that the first person does not wait for it."""
        from model.clicks import Click as ModelClick

        predictor = self._model()
        grey = np.full((predictor.long_side, predictor.long_side, 3), 127, np.uint8)
        grey[::8] += 40
        image = self._preparing.submit(predictor.encode, grey).result()
        prepared = self._preparing.submit(predictor.prepare, image, [], None).result()
        frame, clicks = self._frame(grey.shape[:2]), [ModelClick(9.0, 9.0, True)]
        self._clicking.submit(predictor.logits, prepared, frame, clicks, None).result()

    def _model(self) -> Predictor:
        with self._loading:
            if self._predictor is not None:
                return self._predictor
            if self.state == "failed":
                raise EngineError(self.failure or "The model could not be loaded.")
            self.state = "loading"
            # Threads of torch that wait by spinning steal the processor from every other thread of the server.
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
            try:
                import torch

                from model.interactive.predictor import Predictor

                torch.set_num_threads(self._settings.model_threads)
                asked = self._settings.number_format
                predictor = Predictor(self._weights, self._settings.device, self._config, asked)
                if predictor.sha256 != self._sha256:
                    # What these weights encode must not lie among what the others did.
                    raise EngineError(
                        f"{self._weights.name} was exchanged since the start: restart the backend."
                    )
                computing = predictor.format
                log.log(logging.WARNING if computing.slow else logging.INFO, computing.sentence)
                self._predictor = predictor
            except Exception as error:
                self.state, self.failure = "failed", str(error)
                raise EngineError(f"The model could not be loaded: {error}") from error
            self.state = "ready"
            return self._predictor

    def load(self, weights: Path) -> None:
        """Load the network of a trained version now, to learn whether that can be done.

        Raises:
            VersionError: it is damaged, or of another network than this release knows.
            EngineError: its files cannot be read at the moment.
        """
        from model.checkpoint.manifest import CheckpointError, UnreadableError

        try:
            self._preparing.submit(self._segmentation.get, weights).result()
        except CheckpointError as error:
            kind = EngineError if isinstance(error, UnreadableError) else VersionError
            raise kind(f"The segmentation network could not be loaded: {error}") from error

    # --- references

    def encode_reference(self, key: ImageKey, pixels: Pixels) -> None:
        """Compute and keep the features of a reference (H, W, 3) uint8 RGB; nothing to do if they are there."""
        if not self._features.has(key.project, key.name):
            self._preparing.submit(self._references.encode, key, pixels).result()

    def leave_one_out(
        self, bank: ReferenceBank, progress: Callable[[int, int], None] | None = None
    ) -> dict[str, float]:
        """How far each reference is from the others: its residual energy when it is matched with them.

        Args:
            bank: at least three references; the cost grows linearly with their number.
            progress: told (done, all) after each.

        Returns:
            sha -> energy (95 % quantile over the image), >= 0. Empty for a bank of fewer than three.
        """
        if len(bank.references) < 3:
            return {}
        usual, count = self._references.usual(bank), len(bank.references)
        levels = {}
        for done, sha in enumerate(bank.references, 1):
            levels[sha] = self._preparing.submit(self._references.usual_of, bank, sha).result()
            # An image that is opened meanwhile need not measure the first ones again.
            if usual.wanted(bank.references, MEASURED_REFERENCES) == sha:
                usual.put({sha: levels[sha]}, count)
            if progress is not None:
                progress(done, count)
        usual.put(levels, count, checked=True)
        return {sha: found["joint"] for sha, found in levels.items()}

    # --- opening and clicking

    def prepare(self, key: ImageKey, bank: ReferenceBank, load: Load) -> dict[str, float]:
        """Make an image ready to be clicked; quick when it already is.

        Args:
            key: the image.
            bank: its references.
            load: reads the image (H, W, 3) uint8 RGB; only called when it has to be prepared.

        Returns:
            What took how many milliseconds, by name.
        """
        milliseconds: dict[str, float] = {}
        self._open(key, bank.without(key.sha), load, milliseconds)
        return milliseconds

    def click(self, key: ImageKey, bank: ReferenceBank, load: Load, clicks: Sequence[Click]) -> Segmentation:
        """The mask after some clicks (in image pixels, oldest first). See :meth:`prepare` for the other arguments."""
        from model.clicks import Click as ModelClick

        shown = tuple(ModelClick(*c) for c in clicks)
        bank = bank.without(key.sha)
        milliseconds: dict[str, float] = {}
        opened = self._open(key, bank, load, milliseconds)
        started = time.perf_counter()
        found = self._clicking.submit(self._answer, key, bank, opened, load, shown).result()
        milliseconds["network"] = _since(started)
        started = time.perf_counter()
        mask = found.mask()
        score = found.score() if mask.any() else 0.0
        milliseconds["mask"] = _since(started)
        return Segmentation(mask, found.probability, score, milliseconds)

    def _answer(
        self, key: ImageKey, bank: ReferenceBank, opened: _Opened, load: Load, clicks: tuple[ModelClick, ...]
    ) -> Answer:
        """The answer to ``clicks``, each click seeing the answer to those before.

        Answers that are not there any more are given again, from the last one on that is: what the clicks lead to
        depends on them alone, not on how much was clicked elsewhere since.
        """
        from model.interactive.answer import answer

        expected = self._expected.get((key, bank.fingerprint)) or []
        look = partial(self._windows.look, key, bank, opened.nearest, load)
        found, known = None, len(clicks)
        while known and (found := self._answers.get((key, bank.fingerprint, clicks[:known]))) is None:
            known -= 1
        for count in range(known + 1, len(clicks) + 1):
            shown = clicks[:count]
            found = answer(self._model(), opened.prepared, opened.frame, shown, found, look, expected)
            self._answers.put((key, bank.fingerprint, shown), found, found.nbytes)
        if found is None:
            raise ValueError("There is no answer without a click.")
        return found

    # --- proposing

    def source(self, bank: ReferenceBank, weights: Path | None) -> Source:
        """What a proposal for an image with these references would come from; "none" when there is nothing."""
        if weights is not None:
            return "trained"
        if len(bank.references) < FEWEST_REFERENCES:
            return "none"
        return "residual" if self._segmentation.packaged is None else "packaged"

    def propose(
        self, key: ImageKey, bank: ReferenceBank, load: Load, weights: Path | None = None
    ) -> Proposals:
        """Regions for an image that nobody has clicked yet. See :meth:`prepare` for the other arguments.

        Args:
            weights: the checkpoint of the project's trained version; without one, and with at least
                `FEWEST_REFERENCES` references, the packaged network proposes as far as the residual agrees, or
                the residual alone where that network is not there; with fewer references nothing does.

        Raises:
            VersionError: the checkpoint cannot be used.
            EngineError: the model cannot be loaded, or cannot be asked this.
        """
        bank = bank.without(key.sha)
        source = self.source(bank, weights)
        name = (key, bank.fingerprint, weights)
        with self._proposals.flight(name):
            if (known := self._proposals.get(name)) is not None:
                return known
            opened = self._open(key, bank, load, {})
            size = opened.frame.image_height, opened.frame.image_width
            if source == "none":
                return Proposals((), 0.0, "none", size)
            maps = self._maps_of(bank, opened, weights)
            regions, score = propose(maps, opened.frame)
            found = Proposals(tuple(regions), score, source, size)
            self._proposals.put(name, found, found.nbytes)
            self._expected.put((key, bank.fingerprint), self._windows_round(found, opened.frame), 1)
            return found

    def look_ahead(self, key: ImageKey, bank: ReferenceBank, load: Load) -> None:
        """Open the windows in which a first click is to be expected, as :meth:`propose` left them."""
        bank = bank.without(key.sha)
        windows = self._expected.get((key, bank.fingerprint)) or []
        nearest = self._open(key, bank, load, {}).nearest if windows else ()
        for window in windows:
            self._preparing.submit(self._windows.look, key, bank, nearest, load, window).result()

    def _windows_round(self, found: Proposals, frame: Frame) -> list[Window]:
        from model.interactive.zoom import expected_windows

        if not found.regions:
            return []
        mask = np.logical_or.reduce([region.mask for region in found.regions])
        return expected_windows(mask, max(frame.height, frame.width), self._model().config.zoom)

    def maps(
        self, key: ImageKey, bank: ReferenceBank, load: Load, weights: Path | None = None
    ) -> dict[str, Map]:
        """What :meth:`propose` proposes from: defect type -> probability (h, w) float32, in the working frame.

        Without weights there must be `FEWEST_REFERENCES` references.
        """
        bank = bank.without(key.sha)
        return self._maps_of(bank, self._open(key, bank, load, {}), weights)

    def _maps_of(self, bank: ReferenceBank, opened: _Opened, weights: Path | None) -> dict[str, Map]:
        from model.checkpoint.manifest import CheckpointError

        if weights is not None:
            self.load(weights)
        peaks = self._peaks(bank) if weights is None else []
        judged = self._segmentation.maps
        try:
            return self._preparing.submit(judged, opened.prepared, opened.frame, weights, peaks).result()
        except CheckpointError as error:
            raise EngineError(f"The segmentation network could not be loaded: {error}") from error

    def _peaks(self, bank: ReferenceBank) -> list[float]:
        """The highest suspicion in some references of a bank, each left out of it in turn."""
        from model.evidence.anomaly_map import PEAK

        usual = self._references.usual(bank)
        while sha := usual.wanted(bank.references, MEASURED_REFERENCES):
            # one at a time: a click may be waiting
            self._preparing.submit(self._references.measure, bank, sha).result()
        return usual.every(bank.references, PEAK, MEASURED_REFERENCES)

    def _open(
        self, key: ImageKey, bank: ReferenceBank, load: Load, milliseconds: dict[str, float]
    ) -> _Opened:
        name = (key, bank.fingerprint)
        with self._opened.flight(name):
            if (opened := self._opened.get(name)) is not None:
                return opened
            stored = self._features.load_prepared(key.project, key.name, bank.fingerprint)
            if stored is None:
                started = time.perf_counter()
                pixels = self._windows.pixels(key, load)
                milliseconds["read"] = _since(started)
                stored = self._preparing.submit(self._prepare, key, bank, pixels, milliseconds).result()
            prepared, shape, nearest = stored
            opened = _Opened(prepared, self._frame(shape), nearest)
            self._opened.put(name, opened, prepared.nbytes)
            return opened

    def _prepare(
        self, key: ImageKey, bank: ReferenceBank, pixels: Pixels, milliseconds: dict[str, float]
    ) -> tuple[Prepared, tuple[int, int], tuple[str, ...]]:
        predictor = self._model()
        started = time.perf_counter()
        image = predictor.encode(pixels)
        milliseconds["features"] = _since(started)
        started = time.perf_counter()
        nearest, normal = self._references.nearest(bank, image), self._references.normal(bank)
        references = [self._references.of(bank.key(sha)) for sha in nearest]
        milliseconds["references"] = _since(started)
        started = time.perf_counter()
        prepared, shape = (
            predictor.prepare(image, references, normal).kept(),
            (pixels.shape[0], pixels.shape[1]),
        )
        milliseconds["match"] = _since(started)
        self._features.save_prepared(key.project, key.name, bank.fingerprint, prepared, shape, nearest)
        return prepared, shape, nearest

    def _frame(self, shape: tuple[int, ...]) -> Frame:
        from model.features.encoding import Frame

        return Frame.of(shape[0], shape[1], self._model().long_side)


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
