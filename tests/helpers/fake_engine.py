"""The engine's contract without a network: a click selects the pixels of its own colour."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from adclick_backend.clicks import Click
from adclick_backend.engine import Bank, EngineError, ImageKey, Segmentation

Pixels = NDArray[np.uint8]


class FakeEngine:
    """Masks follow from the very pixels and clicks that arrive, so a mix-up of images shows in the mask.

    A reference's leave-one-out residual is the distance of its mean grey value from that of the others.
    """

    def __init__(self, version: str = "fake-1") -> None:
        self.version = version
        self.state = "ready"
        self.failure: str | None = None
        self.error: Exception | None = None  # raised by everything while it is set
        self.encoded: dict[ImageKey, float] = {}
        self.prepared: list[tuple[ImageKey, Bank]] = []
        self.clicked: list[tuple[ImageKey, Bank, tuple[Click, ...]]] = []
        self.hold = threading.Event()  # clear it to let `prepare` wait
        self.hold.set()
        self._open: dict[ImageKey, Pixels] = {}
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        self._maybe_fail()

    def encode_reference(self, key: ImageKey, pixels: Pixels) -> None:
        self._maybe_fail()
        self.encoded[key] = float(pixels.mean())

    def leave_one_out(
        self, bank: Bank, progress: Callable[[int, int], None] | None = None
    ) -> dict[str, float]:
        self._maybe_fail()
        means = {sha: self.encoded[ImageKey(bank.project, sha)] for sha in bank.references}
        found = {}
        for number, (sha, mean) in enumerate(means.items(), 1):
            found[sha] = abs(mean - np.median([other for name, other in means.items() if name != sha])) + 10
            if progress:
                progress(number, len(means))
        return found

    def prepare(self, key: ImageKey, bank: Bank, load: Callable[[], Pixels]) -> dict[str, float]:
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

    def click(
        self, key: ImageKey, bank: Bank, load: Callable[[], Pixels], clicks: Sequence[Click]
    ) -> Segmentation:
        self._maybe_fail()
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


BROKEN = EngineError("The network is out of order.")
