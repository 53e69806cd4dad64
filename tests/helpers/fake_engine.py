"""The engine's contract without a network: a click selects the pixels of its own colour."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from adclick_backend.clicks.near import Near
from adclick_backend.engine.all_alike import AlikePart, AlikeParts
from adclick_backend.engine.bank import EngineError, ImageKey, ReferenceBank, VersionError
from adclick_backend.engine.cache import DiskRoom
from adclick_backend.engine.click_answers import Segmentation
from adclick_backend.engine.differences import Difference
from adclick_backend.engine.expected import ExpectedWindows
from adclick_backend.engine.shared_detector import SharedDetector
from adclick_backend.engine.sources import FEWEST_REFERENCES
from adclick_backend.store.projects import KeyValueTable
from adclick_backend.store.proposal_source import NOTHING, RESIDUAL, TRAINED, ProposalSource, parts_of
from adclick_runtime.operating_points import at_points
from adclick_runtime.regions import Proposals, Region
from model.checkpoint.manifest import PACKAGED
from model.clicks import Click
from model.metrics.parts import parts_of as connected_parts

Pixels = NDArray[np.uint8]

RED = np.float32(0.9)
"""How probable what is red is a defect: from which threshold on it is found no more."""


class FakeEngine:
    """Masks follow from the very pixels and clicks that arrive, so a mix-up of images shows in the mask.

    A proposal is all that is red, where nobody set a threshold above `RED`: a "scratch" below the value 230, a "dent"
    from there on, each only "defect" while there are no weights.

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
        self.expected = ExpectedWindows()
        self.hears = False
        self.error: Exception | None = None  # raised by everything while it is set
        self.encoded: dict[ImageKey, float] = {}
        self.when_turned: dict[float, float] = {}  # mean grey -> least residual of a reference that is turned
        self.turned: list[str] = []  # the references that were
        self.prepared: list[tuple[ImageKey, ReferenceBank]] = []
        self.clicked: list[tuple[ImageKey, ReferenceBank, tuple[Click, ...]]] = []
        self.click_weights: list[Path | None] = []  # of each of them
        self.proposed: list[tuple[ImageKey, ReferenceBank, ProposalSource | None]] = []
        self.looked_ahead: list[tuple[ImageKey, ReferenceBank]] = []
        self.hold = threading.Event()  # clear it to let `prepare` and `propose` wait
        self.hold.set()
        self.kept: dict[ImageKey, Pixels] = {}  # images of references
        self.disk_room = DiskRoom(4_000_000_000, 0, 0, 0, 7_000_000)
        self._open: dict[ImageKey, Pixels] = {}
        self._lock = threading.Lock()

    def share(self, values: KeyValueTable) -> None:
        """Nothing here looks different by what was measured before."""

    def warm_up(self) -> None:
        self._maybe_fail()

    def encode_reference(self, key: ImageKey, pixels: Pixels) -> None:
        self._maybe_fail()
        self.encoded[key] = float(pixels.mean())
        self.kept[key] = pixels

    def reference(self, key: ImageKey) -> Pixels:
        self._maybe_fail()
        return self.kept[key]

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

    def least_turned(
        self, bank: ReferenceBank, sha: str, enough: float, give_way: Callable[[], None] = lambda: None
    ) -> float:
        """What `when_turned` holds for the grey of a reference; turned, the others are as they are."""
        self._maybe_fail()
        give_way()
        self.turned.append(sha)
        return self.when_turned.get(self.encoded[ImageKey(bank.project, sha)], enough + 1)

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

    def is_prepared(self, key: ImageKey, bank: ReferenceBank) -> bool:
        return key in self._open

    def room(self, project: str) -> DiskRoom:
        held = self.disk_room.held + len(self._open) * self.disk_room.each
        return replace(self.disk_room, held=held, own=len(self._open) * self.disk_room.each)

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

    def unlike(
        self, key: ImageKey, bank: ReferenceBank, load: Callable[[], Pixels], asked: ProposalSource | None
    ) -> float:
        """What the mean grey of an image is of that of its references."""
        self._maybe_fail()
        usual = [self.encoded[bank.key(sha)] for sha in bank.references]
        return float(load().mean() / np.mean(usual)) if usual else 0.0

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
        self.expected.put(key, Near(bank.without(key.sha).fingerprint))
        pixels = load()
        found = red_masks(pixels)
        if source != TRAINED and found:
            found = {"defect": np.logical_or.reduce(list(found.values()))}
        points = dict(asked.points) if asked is not None and asked.name == source else {}
        regions = tuple(
            Region(name, mask, 0.7) for name, mask in found.items() if points.get(name, 0.5) <= RED
        )
        return Proposals(regions, 0.6 if regions else 0.9, source, pixels.shape[:2])

    def maps(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Callable[[], Pixels],
        asked: ProposalSource | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """`RED` where something is red, 0.2 elsewhere; what nothing can be proposed from has no map."""
        self._maybe_fail()
        if (source := self.source(bank, asked)) == NOTHING:
            return {}
        pixels = load()
        red = np.logical_or.reduce([np.zeros(pixels.shape[:2], bool), *red_masks(pixels).values()])
        maps = {"defect": np.where(red, RED, np.float32(0.2))}
        return at_points(maps, dict(asked.points)) if asked is not None and asked.name == source else maps

    def differences(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Callable[[], Pixels],
        give_way: Callable[[], None] = lambda: None,
    ) -> list[Difference]:
        """All that is red differs from every reference."""
        self._maybe_fail()
        red = np.logical_or.reduce([np.zeros(load().shape[:2], bool), *red_masks(load()).values()])
        return [Difference(sha, red.astype(np.float32)) for sha in bank.without(key.sha).references[:3]]

    def look_ahead(self, key: ImageKey, bank: ReferenceBank, load: Callable[[], Pixels]) -> None:
        self._maybe_fail()
        self.looked_ahead.append((key, bank))

    def near(self, key: ImageKey, bank: ReferenceBank) -> Near:
        return self.expected.get(key, bank.without(key.sha).fingerprint)

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
        begun: NDArray[np.bool_] | None = None,
        near: Near | None = None,
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
        mask = np.zeros(pixels.shape[:2], bool) if begun is None else begun.copy()
        for click in clicks:
            mask[(pixels == pixels[int(click.y), int(click.x)]).all(axis=2)] = click.positive
        return Segmentation(mask, mask.astype(np.float32), 0.87654, milliseconds)

    def click_alike(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Callable[[], Pixels],
        clicks: Sequence[Click],
        weights: Path | None = None,
        phrases: Sequence[str] = (),
        near: Near | None = None,
    ) -> AlikeParts:
        """Every part of the clicked colours, but for those in which somebody clicked "not this"."""
        self._maybe_fail()
        with self._lock:
            self.clicked.append((key, bank, tuple(clicks)))
        pixels = load()
        mask = np.zeros(pixels.shape[:2], bool)
        for click in clicks:
            if click.positive:
                mask |= (pixels == pixels[int(click.y), int(click.x)]).all(axis=2)
        labels, boxes = cv2.connectedComponentsWithStats(mask.astype(np.uint8))[1:3]
        refused = {int(labels[int(c.y), int(c.x)]) for c in clicks if not c.positive}
        first = int(labels[int(clicks[0].y), int(clicks[0].x)])
        order = sorted(set(range(1, len(boxes))) - refused, key=lambda number: number != first)
        parts = []
        for number in order:
            left, top, width, height = boxes[number][:4]
            box = slice(int(top), int(top + height)), slice(int(left), int(left + width))
            parts.append(AlikePart(box, labels[box] == number, 0.8))
        return AlikeParts(tuple(parts), pixels.shape[:2], mask.astype(np.float32), {"network": 1.0})

    def samples(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Callable[[], Pixels],
        mask: NDArray[np.bool_],
        most: int,
    ) -> list[Any]:
        """The colours under a mask."""
        self._maybe_fail()
        return [tuple(colour) for colour in np.unique(load()[mask], axis=0).tolist()][:most]

    def find_like(
        self, key: ImageKey, bank: ReferenceBank, load: Callable[[], Pixels], samples: Sequence[Any]
    ) -> AlikeParts:
        """Every part of one of these colours."""
        self._maybe_fail()
        pixels = load()
        mask = np.logical_or.reduce([(pixels == colour).all(axis=2) for colour in samples])
        parts = []
        for part in connected_parts(mask):
            rows, columns = np.nonzero(part)
            box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns.min()), int(columns.max()) + 1)
            parts.append(AlikePart(box, part[box], 0.7))
        return AlikeParts(tuple(parts), pixels.shape[:2], mask.astype(np.float32), {})

    def _maybe_fail(self) -> None:
        if self.error is not None:
            raise self.error


def red_masks(pixels: Pixels) -> dict[str, NDArray[np.bool_]]:
    """What the fake engine finds in an image, by type."""
    red = (pixels[..., 0] > 150) & (pixels[..., 1] == 0)
    found = {"scratch": red & (pixels[..., 0] < 230), "dent": red & (pixels[..., 0] >= 230)}
    return {name: mask for name, mask in found.items() if mask.any()}


BROKEN = EngineError("The network is out of order.")
