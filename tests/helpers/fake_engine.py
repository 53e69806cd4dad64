"""The engine's contract without a network: a click selects the pixels of its own colour."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adclick_backend.engine.bank import EngineError, ImageKey, ReferenceBank, VersionError
from adclick_backend.engine.engine import FEWEST_REFERENCES, Segmentation
from adclick_backend.engine.shared_detector import SharedDetector
from adclick_backend.store.proposal_source import NOTHING, RESIDUAL, TRAINED, ProposalSource, parts_of
from model.checkpoint.manifest import PACKAGED
from model.clicks import Click
from model.segmentation.regions import Proposals, Region

Pixels = NDArray[np.uint8]


class FakeEngine:
    """Masks follow from the very pixels and clicks that arrive, so a mix-up of images shows in the mask.

    A proposal is all that is red: a "scratch" below the value 230, a "dent" from there on, each only "defect" while
    there are no weights.

    A reference's leave-one-out residual is the distance of its mean grey value from that of the others.
    """

    def __init__(self, version: str = "fake-1") -> None:
        self.version = version
        self.weights = PACKAGED
        self.state = "ready"
        self.failure: str | None = None
        self.broken: set[Path] = set()  # weights that cannot be loaded
        self.untrainable = ""
        self.shared_detector = SharedDetector()
        self.hears = False
        self.error: Exception | None = None  # raised by everything while it is set
        self.encoded: dict[ImageKey, float] = {}
        self.prepared: list[tuple[ImageKey, ReferenceBank]] = []
        self.clicked: list[tuple[ImageKey, ReferenceBank, tuple[Click, ...]]] = []
        self.click_weights: list[Path | None] = []  # of each of them
        self.proposed: list[tuple[ImageKey, ReferenceBank, ProposalSource | None]] = []
        self.looked_ahead: list[tuple[ImageKey, ReferenceBank]] = []
        self.hold = threading.Event()  # clear it to let `prepare` and `propose` wait
        self.hold.set()
        self._open: dict[ImageKey, Pixels] = {}
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        self._maybe_fail()

    def encode_reference(self, key: ImageKey, pixels: Pixels) -> None:
        self._maybe_fail()
        self.encoded[key] = float(pixels.mean())

    def leave_one_out(
        self, bank: ReferenceBank, progress: Callable[[int, int], None] | None = None
    ) -> dict[str, float]:
        self._maybe_fail()
        means = {sha: self.encoded[ImageKey(bank.project, sha)] for sha in bank.references}
        found = {}
        for number, (sha, mean) in enumerate(means.items(), 1):
            found[sha] = abs(mean - np.median([other for name, other in means.items() if name != sha])) + 10
            if progress:
                progress(number, len(means))
        return found

    def prepare(self, key: ImageKey, bank: ReferenceBank, load: Callable[[], Pixels]) -> dict[str, float]:
        self._maybe_fail()
        assert self.hold.wait(10)
        with self._lock:
            self.prepared.append((key, bank))
            if key in self._open:
                return {}
        pixels = load()
        with self._lock:
            self._open[key] = pixels
        return {"features": 1.0, "match": 1.0}

    def load(self, weights: Path) -> None:
        if weights in self.broken:
            raise VersionError(
                f"The segmentation network could not be loaded: {weights.name} lacks a layer.", weights
            )

    def load_detector(self, weights: Path) -> None:
        if weights in self.broken:
            raise VersionError(
                f"The detector network could not be loaded: {weights.name} lacks a layer.", weights
            )

    def source(self, bank: ReferenceBank, asked: ProposalSource | None) -> str:
        few = len(bank.references) < FEWEST_REFERENCES
        if asked is not None and asked.trained is not None and (few or asked.name == TRAINED):
            return TRAINED
        return NOTHING if few else RESIDUAL if asked is None else asked.name

    def propose(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Callable[[], Pixels],
        asked: ProposalSource | None = None,
    ) -> Proposals:
        self._maybe_fail()
        source = self.source(bank, asked)
        if asked is not None and asked.trained is not None and source == TRAINED:
            self.load(asked.trained)
        if asked is not None and asked.detector is not None and parts_of(source):
            self.load_detector(asked.detector)
        assert self.hold.wait(10)
        self.proposed.append((key, bank, asked))
        pixels = load()
        found = red_masks(pixels)
        if source != TRAINED and found:
            found = {"defect": np.logical_or.reduce(list(found.values()))}
        regions = tuple(Region(name, mask, 0.7) for name, mask in found.items())
        return Proposals(regions, 0.6 if regions else 0.9, source, pixels.shape[:2])

    def look_ahead(self, key: ImageKey, bank: ReferenceBank, load: Callable[[], Pixels]) -> None:
        self._maybe_fail()
        self.looked_ahead.append((key, bank))

    def load_click(self, weights: Path) -> None:
        if weights in self.broken:
            raise VersionError(
                f"The click network could not be loaded: {weights.name} lacks a layer.", weights
            )

    def click(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Callable[[], Pixels],
        clicks: Sequence[Click],
        weights: Path | None = None,
        phrases: Sequence[str] = (),
    ) -> Segmentation:
        self._maybe_fail()
        if weights is not None:
            self.load_click(weights)
        self.click_weights.append(weights)
        milliseconds = {"network": 1.0}
        with self._lock:
            self.clicked.append((key, bank, tuple(clicks)))
            pixels = self._open.get(key)
        if pixels is None:
            pixels = load()
            milliseconds["features"] = 1.0
            with self._lock:
                self._open[key] = pixels
        mask = np.zeros(pixels.shape[:2], bool)
        for click in clicks:
            mask[(pixels == pixels[int(click.y), int(click.x)]).all(axis=2)] = click.positive
        return Segmentation(mask, mask.astype(np.float32), 0.87654, milliseconds)

    def _maybe_fail(self) -> None:
        if self.error is not None:
            raise self.error


def red_masks(pixels: Pixels) -> dict[str, NDArray[np.bool_]]:
    """What the fake engine finds in an image, by type."""
    red = (pixels[..., 0] > 150) & (pixels[..., 1] == 0)
    found = {"scratch": red & (pixels[..., 0] < 230), "dent": red & (pixels[..., 0] >= 230)}
    return {name: mask for name, mask in found.items() if mask.any()}


BROKEN = EngineError("The network is out of order.")
