"""The answers to clicks: each from the one before it, by the network that all projects share or by a project's own.

Importing this module imports no torch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from adclick_backend.clicks.near import Near
from adclick_backend.engine.all_alike import AlikeParts, look_for_alike
from adclick_backend.engine.bank import ImageKey, Load, ReferenceBank, explained
from adclick_backend.engine.lru import WeightedLru
from adclick_backend.engine.networks import LoadedNetworks
from adclick_backend.engine.prepared_images import Opened, PreparedImages, since
from model.clicks import Click

if TYPE_CHECKING:
    from model.interactive.alike import AllAlike
    from model.interactive.answer import Answer, Look
    from model.interactive.predictor import Predictor

Found = TypeVar("Found")


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
class Asked:
    """What is clicked in which image, and who answers.

    Attributes:
        key: the image.
        bank: its references, without itself.
        load: reads the image (H, W, 3) uint8 RGB.
        clicks: in image pixels, oldest first.
        weights: of the click network of a project's trained version; None for the one that all projects share.
        phrases: that describe the type of the clicked defect.
        near: where the first click was expected when it came.
        begun: (H, W) bool of the image's size, a mask that the clicks correct; None for none.
    """

    key: ImageKey
    bank: ReferenceBank
    load: Load
    clicks: tuple[Click, ...]
    weights: Path | None
    phrases: tuple[str, ...]
    near: Near
    begun: NDArray[np.bool_] | None = None


class ClickAnswers:
    """Answers clicks, and remembers the answers given last.

    Args:
        images: as clicks are answered in them.
        shared: gives the network that all projects share, loading it if need be.
        clicking: the thread that computes.
    """

    def __init__(
        self, images: PreparedImages, shared: Callable[[], Predictor], clicking: ThreadPoolExecutor
    ) -> None:
        self._images, self._shared, self._clicking = images, shared, clicking
        self._adapted: LoadedNetworks[Predictor] = LoadedNetworks(
            lambda weights: shared().with_network(weights)
        )
        self._given: WeightedLru[
            tuple[ImageKey, Near, Path | None, tuple[str, ...], str, tuple[Click, ...]], Answer
        ] = WeightedLru(64 << 20)

    def load(self, weights: Path) -> None:
        """Load a project's adapted click network now, to learn whether that can be done.

        Raises:
            VersionError: it is damaged, of another network than this release knows, or trained behind another backbone.
            EngineError: its files cannot be read at the moment.
        """
        with explained("click", weights):
            self._clicking.submit(self._network, weights).result()

    def mask(self, asked: Asked) -> Segmentation:
        """The mask after all clicks.

        Raises:
            VersionError: the network of the project cannot be used.
            EngineError: the model cannot be loaded.
        """
        found, milliseconds = self._opened(asked, self._answer)
        started = time.perf_counter()
        mask = found.mask()
        score = found.score() if mask.any() else 0.0
        milliseconds["mask"] = since(started)
        return Segmentation(mask, found.probability, score, milliseconds)

    def alike(self, asked: Asked) -> AlikeParts:
        """Every place that is like the clicked ones (:mod:`model.interactive.alike`); see :meth:`mask`."""
        return AlikeParts.of(*self._opened(asked, self._alike))

    def _opened(self, asked: Asked, work: Callable[[Asked, Opened], Found]) -> tuple[Found, dict[str, float]]:
        """Open the image and let a network work on it, in the thread of the clicks; and what took how long."""
        milliseconds: dict[str, float] = {}
        opened = self._images.open(asked.key, asked.bank, asked.load, milliseconds)
        started = time.perf_counter()
        with explained("click", asked.weights):
            found = self._clicking.submit(work, asked, opened).result()
        milliseconds["network"] = since(started)
        return found, milliseconds

    def _network(self, weights: Path | None) -> Predictor:
        return self._shared() if weights is None else self._adapted.get(weights)

    def _alike(self, asked: Asked, opened: Opened) -> AllAlike:
        def answer_to(some: tuple[Click, ...]) -> Answer:
            return self._answer(replace(asked, clicks=some), opened)

        network, look = self._network(asked.weights), self._look(asked, opened)
        return look_for_alike(network, opened, asked.clicks, answer_to, look, asked.phrases)

    def _answer(self, asked: Asked, opened: Opened) -> Answer:
        """The answer to all clicks, each click seeing the answer to those before, the first one the mask begun with.

        Answers that are not there any more are given again, from the last one on that is: what the clicks lead to
        depends on them, and on where the first one was expected, and not on how much was clicked elsewhere since.
        """
        from model.interactive.answer import answer, begun
        from model.interactive.zoom import Window

        network, look, clicks = self._network(asked.weights), self._look(asked, opened), asked.clicks
        expected = [Window(*window) for window in asked.near.windows]
        start = "" if asked.begun is None else hashlib.sha256(np.packbits(asked.begun).tobytes()).hexdigest()
        name = (asked.key, asked.near, asked.weights, asked.phrases, start)
        found, known = None, len(clicks)
        while known and (found := self._given.get((*name, clicks[:known]))) is None:
            known -= 1
        if found is None and asked.begun is not None:
            found = begun(opened.frame, asked.begun)
        words = network.words(asked.phrases)
        for count in range(known + 1, len(clicks) + 1):
            shown = clicks[:count]
            found = answer(network, opened.prepared, opened.frame, shown, found, look, expected, words)
            self._given.put((*name, shown), found, found.nbytes)
        if found is None:
            raise ValueError("There is no answer without a click.")
        return found

    def _look(self, asked: Asked, opened: Opened) -> Look:
        return self._images.closer(asked.key, asked.bank, asked.load, opened)
