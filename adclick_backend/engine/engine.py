"""The only door to the model: prepared images, clicks, references. Importing this module imports no torch."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from adclick_backend.clicks.near import Near
from adclick_backend.engine.all_alike import AlikeParts, look_for_samples, samples_in
from adclick_backend.engine.bank import EngineError, ImageKey, Load, ReferenceBank
from adclick_backend.engine.cache import DiskRoom
from adclick_backend.engine.click_answers import Asked, ClickAnswers, Segmentation
from adclick_backend.engine.differences import Difference, find_differences
from adclick_backend.engine.expected import ExpectedWindows
from adclick_backend.engine.eyes import Eyes, cache_key
from adclick_backend.engine.lru import WeightedLru
from adclick_backend.engine.prepared_images import PreparedImages
from adclick_backend.engine.shared_detector import SharedDetector
from adclick_backend.engine.sources import MapSources
from adclick_backend.images.decode import Pixels
from adclick_backend.settings import Settings
from adclick_backend.store.projects import KeyValueTable
from adclick_backend.store.proposal_source import NOTHING, ProposalSource
from adclick_runtime.regions import Map, Proposals, propose
from model.clicks import Click

if TYPE_CHECKING:
    from adclick_runtime.frame import Frame
    from model.checkpoint.backbone_id import BackboneId
    from model.export.contents import ProductContents
    from model.interactive.config import ClickConfig
    from model.interactive.elsewhere import Sample
    from model.interactive.predictor import Predictor

log = logging.getLogger(__name__)


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
        from model.checkpoint.backbone_id import backbone_of
        from model.checkpoint.described import check_click
        from model.checkpoint.manifest import read_manifest

        self._settings, self._config = settings, config
        self.weights = checkpoint or settings.click_weights
        """Of the click network that all projects share."""
        self.state: Literal["cold", "loading", "ready", "failed"] = "cold"
        self.failure: str | None = None
        self.untrainable = ""
        """Why no project can be trained behind this click network, as a sentence; "" when it can."""
        backbone: BackboneId | None = None  # that versions may have been trained behind
        self.hears = False
        """Whether the click network wants to be told what the clicked defect is called."""
        try:
            if checkpoint is None and settings.unprepared:
                raise EngineError(settings.unprepared)
            manifest = read_manifest(self.weights)
            check_click(manifest, self.weights.name)
            self.version, self._sha256 = str(manifest["version"]), str(manifest["sha256"])
            sizes = manifest.get("network")
            self.hears = isinstance(sizes, dict) and bool(sizes.get("words"))
            if manifest["preset"] == "lite":
                backbone = backbone_of(self.weights, manifest)
            else:
                self.untrainable = (
                    f"Projects cannot be trained while clicks are answered by {self.version} of the preset "
                    f"{manifest['preset']!r}: what is trained sees with the eyes of a 'lite' network. Start the "
                    "backend without ADCLICK_CHECKPOINT, or with one of the preset 'lite', and train again."
                )
            # What a network of another preset makes of the features is its own.
            key = cache_key(backbone.sha256 if backbone else self._sha256, manifest, config)
        except RuntimeError as error:
            self.version, self.state, self.failure = "none", "failed", str(error)
            key = self._sha256 = "none"
        self._clicking = ThreadPoolExecutor(1, "adclick-click")
        self._preparing = ThreadPoolExecutor(1, "adclick-prepare")
        self._images = PreparedImages(settings, key, self._model, self._preparing)
        self._eyes = Eyes(settings, self._images, backbone, config, self._read, self._preparing)
        self._sources = MapSources(settings, self.weights, self._eyes, self._preparing)
        self._answers = ClickAnswers(self._images, self._model, self._clicking)
        self._proposals: WeightedLru[tuple[ImageKey, str, ProposalSource], Proposals] = WeightedLru(32 << 20)
        self.expected = ExpectedWindows()
        """Where first clicks are to be expected."""
        self._loading = threading.Lock()
        self._predictor: Predictor | None = None

    @property
    def shared_detector(self) -> SharedDetector:
        """What proposes masks for projects that nothing was trained for."""
        return self._sources.shared

    def share(self, values: KeyValueTable) -> None:
        """From now on what images look different by is kept where the engines of other machines find it."""
        self._eyes.share(values)

    # --- loading

    def warm_up(self) -> None:
        """Load the weights now and run the network once, so that the first person does not wait for it."""
        predictor = self._model()
        grey = np.full((predictor.long_side, predictor.long_side, 3), 127, np.uint8)
        grey[::8] += 40
        image = self._preparing.submit(predictor.encode, grey).result()
        prepared = self._preparing.submit(predictor.prepare, image, [], None).result()
        frame, clicks = self._images.frame(grey.shape[:2]), [Click(9.0, 9.0, True)]
        words = self._clicking.submit(predictor.words, ("a defect",)).result()
        self._sources.warm_up()
        self._clicking.submit(predictor.logits, prepared, frame, clicks, None, words).result()

    def _model(self) -> Predictor:
        with self._loading:
            if self._predictor is not None:
                return self._predictor
            if self.state == "failed":
                raise EngineError(self.failure or "The model could not be loaded.")
            self.state = "loading"
            try:
                predictor = self._read(self.weights)
                if predictor.sha256 != self._sha256:
                    # What these weights encode must not lie among what the others did.
                    raise EngineError(
                        f"{self.weights.name} was exchanged since the start: restart the backend."
                    )
                computing = predictor.format
                log.log(logging.WARNING if computing.slow else logging.INFO, computing.sentence)
                self._predictor = predictor
            except Exception as error:
                self.state, self.failure = "failed", str(error)
                raise EngineError(f"The model could not be loaded: {error}") from error
            self.state = "ready"
            return self._predictor

    def _read(self, weights: Path) -> Predictor:
        # Threads of torch that wait by spinning steal the processor from every other thread of the server.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import torch

        from model.interactive.predictor import Predictor

        torch.set_num_threads(self._settings.model_threads)
        asked = self._settings.number_format
        return Predictor(weights, self._settings.device, self._config, asked)

    def load(self, weights: Path) -> None:
        """Load the segmentation network of a trained version now, to learn whether that can be done.

        Raises:
            VersionError: it is damaged, of another network than this release knows, or trained behind a backbone that
                is not here.
            EngineError: its files cannot be read at the moment.
        """
        self._sources.load(weights)

    def load_detector(self, weights: Path) -> None:
        """Load the detectors of a trained version now, to learn whether that can be done; see :meth:`load`."""
        self._sources.load_detector(weights)

    def load_click(self, weights: Path) -> None:
        """Load a project's adapted click network now, to learn whether that can be done; see :meth:`load`."""
        self._answers.load(weights)

    # --- references

    def encode_reference(self, key: ImageKey, pixels: Pixels) -> None:
        """Compute and keep the features of a reference (H, W, 3) uint8 RGB; nothing to do if they are there."""
        self._images.encode_reference(key, pixels)

    def reference(self, key: ImageKey) -> Pixels:
        """The kept copy of a reference, (H, W, 3) uint8 RGB.

        Raises:
            EngineError: it is gone or cannot be read.
        """
        return self._images.references.kept_copy(key)

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
        return self._images.leave_one_out(bank, progress)

    def least_turned(
        self, bank: ReferenceBank, sha: str, enough: float, give_way: Callable[[], None] = lambda: None
    ) -> float:
        """How far a reference is from the others at the angle, of steps of 30 degrees, at which it is nearest to them.

        Args:
            bank: at least three references.
            sha: one of them.
            enough: no further angle is tried once the energy is this low.
            give_way: called before each angle; may take its time.

        Returns:
            Its energy as :meth:`leave_one_out` has it, not turned not among the angles.

        Raises:
            EngineError: its image is gone, or the model cannot be loaded.
        """
        return self._images.least_turned(bank, sha, enough, give_way)

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
        self._images.open(key, bank.without(key.sha), load, milliseconds)
        return milliseconds

    def is_prepared(self, key: ImageKey, bank: ReferenceBank) -> bool:
        """Whether an image lies prepared on disk, so that its first click is a warm one after any restart."""
        return self._images.files.has_prepared(key.project, key.name, bank.without(key.sha).fingerprint)

    def room(self, project: str) -> DiskRoom:
        """What the cache on disk holds, and may hold, of the prepared images of a project."""
        return self._images.files.room(project)

    def click(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Load,
        clicks: Sequence[Click],
        weights: Path | None = None,
        phrases: Sequence[str] = (),
        begun: NDArray[np.bool_] | None = None,
        near: Near | None = None,
    ) -> Segmentation:
        """The mask after some clicks. See :meth:`prepare` for the other arguments.

        Args:
            clicks: in image pixels, oldest first.
            weights: the click network of the project's trained version; None: the one that all projects share. What is
                seen of an image is the same for both.
            phrases: that describe the type of the clicked defect, for a network that :attr:`hears`.
            begun: (H, W) bool of the image's size, a mask that was there before the first click and that the clicks
                correct; None for none.
            near: where the first click was expected when it came; None: where it is now (:meth:`near`).

        Raises:
            VersionError: that click network cannot be used; the shared one can answer.
            EngineError: the model cannot be loaded, or cannot be asked this.
        """
        return self._answers.mask(self._asked(key, bank, load, clicks, weights, phrases, near, begun))

    def click_alike(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Load,
        clicks: Sequence[Click],
        weights: Path | None = None,
        phrases: Sequence[str] = (),
        near: Near | None = None,
    ) -> AlikeParts:
        """Every place that is like the clicked ones (:mod:`model.interactive.alike`); see :meth:`click`."""
        return self._answers.alike(self._asked(key, bank, load, clicks, weights, phrases, near))

    def _asked(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Load,
        clicks: Sequence[Click],
        weights: Path | None,
        phrases: Sequence[str],
        near: Near | None,
        begun: NDArray[np.bool_] | None = None,
    ) -> Asked:
        told = tuple(phrases) if self.hears else ()
        near = self.near(key, bank) if near is None else near
        return Asked(key, bank.without(key.sha), load, tuple(clicks), weights, told, near, begun)

    def samples(
        self, key: ImageKey, bank: ReferenceBank, load: Load, mask: NDArray[np.bool_], most: int
    ) -> list[Sample]:
        """What the largest parts of a mask (H, W) bool of an image look like; see :meth:`prepare` for the others."""
        opened = self._images.open(key, bank.without(key.sha), load, {})
        return self._preparing.submit(samples_in, opened, mask, most).result()

    def find_like(
        self, key: ImageKey, bank: ReferenceBank, load: Load, samples: Sequence[Sample]
    ) -> AlikeParts:
        """Every place that is like a sample of another image; see :meth:`prepare` for the other arguments."""
        bank = bank.without(key.sha)
        opened = self._images.open(key, bank, load, {})
        look = self._images.closer(key, bank, load, opened)
        found = self._preparing.submit(look_for_samples, self._model(), opened, samples, look).result()
        return AlikeParts.of(found, {})

    # --- proposing

    def source(self, bank: ReferenceBank, asked: ProposalSource | None) -> str:
        """What a proposal for an image with these references would come from; `NOTHING` when there is nothing.

        With fewer than `FEWEST_REFERENCES` references a trained network proposes, or nothing does.

        Args:
            bank: the references.
            asked: of the project; None where nothing was trained: that of `shared_detector`.
        """
        return self._sources.of(bank, asked)

    def propose(
        self, key: ImageKey, bank: ReferenceBank, load: Load, asked: ProposalSource | None = None
    ) -> Proposals:
        """Regions for an image that nobody has clicked yet. See :meth:`prepare` for the other arguments.

        Args:
            asked: what makes the maps, as far as the references allow it (:meth:`source`).

        Raises:
            VersionError: a checkpoint cannot be used.
            EngineError: the model cannot be loaded, or cannot be asked this.
        """
        asked, others = asked or self.shared_detector.source, bank.without(key.sha)
        name = (key, others.fingerprint, asked)
        with self._proposals.flight(name):
            if (known := self._proposals.get(name)) is not None:
                return known
            source, frame, maps = self._sources.see(key, bank, load, asked)
            size = frame.image_height, frame.image_width
            if source == NOTHING:
                return Proposals((), 0.0, NOTHING, size)
            regions, score = propose(maps, frame)
            found = Proposals(tuple(regions), score, source, size)
            self._proposals.put(name, found, found.nbytes)
            self.expected.put(key, Near(others.fingerprint, self._windows_round(found, frame)))
            return found

    def look_ahead(self, key: ImageKey, bank: ReferenceBank, load: Load) -> None:
        """Open the windows in which a first click is to be expected, as :meth:`propose` left them."""
        from model.interactive.zoom import Window

        bank = bank.without(key.sha)
        if windows := self.expected.get(key, bank.fingerprint).windows:
            look = self._images.closer(key, bank, load, self._images.open(key, bank, load, {}))
            for sides in windows:
                self._preparing.submit(look, Window(*sides)).result()

    def near(self, key: ImageKey, bank: ReferenceBank) -> Near:
        """Where a first click in an image is to be expected, as far as :meth:`propose` found that."""
        return self.expected.get(key, bank.without(key.sha).fingerprint)

    def _windows_round(self, found: Proposals, frame: Frame) -> tuple[tuple[int, int, int, int], ...]:
        from model.interactive.zoom import expected_windows

        if not found.regions:
            return ()
        mask = np.logical_or.reduce([region.mask for region in found.regions])
        windows = expected_windows(mask, max(frame.height, frame.width), self._model().config.zoom)
        return tuple((one.top, one.left, one.height, one.width) for one in windows)

    def maps(
        self, key: ImageKey, bank: ReferenceBank, load: Load, asked: ProposalSource | None = None
    ) -> dict[str, Map]:
        """What :meth:`propose` proposes from: defect type -> probability (h, w) float32, in the working frame.

        There must be something to propose from (:meth:`source`). Where somebody chose operating points, 0.5 lies there.
        """
        return self._sources.see(key, bank, load, asked)[2]

    def unlike(
        self, key: ImageKey, bank: ReferenceBank, load: Load, asked: ProposalSource | None = None
    ) -> float:
        """How unlike its references an image is. The arguments are those of :meth:`propose`.

        Returns:
            A multiple of what they are unlike each other: about 1 is usual, well above it the image may show another
            product; 0 where there are fewer than two to say so.
        """
        return self._sources.unlike(key, bank, load, asked)

    def take_along(self, bank: ReferenceBank, asked: ProposalSource | None = None) -> ProductContents:
        """What proposes for images with these references, for a detector that leaves the backend.

        Args:
            bank: the references.
            asked: of the project, as :meth:`propose` takes it.

        Raises:
            VersionError: a checkpoint cannot be used.
            EngineError: there is nothing to propose from, or the model cannot be loaded.
        """
        return self._sources.contents(bank, asked)

    def differences(
        self, key: ImageKey, bank: ReferenceBank, load: Load, give_way: Callable[[], None] = lambda: None
    ) -> list[Difference]:
        """What differs between an image and each of its most similar references; see :func:`find_differences`."""
        others = bank.without(key.sha)
        return find_differences(self._images, self._model, self._preparing, key, others, load, give_way)
