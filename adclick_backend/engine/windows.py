"""Windows of images that clicks look at from near, each opened once, and the pixels they are cut from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from adclick_backend.engine.bank import ImageKey, Load, ReferenceBank
from adclick_backend.engine.lru import WeightedLru
from adclick_backend.images.decode import Pixels

if TYPE_CHECKING:
    from model.evidence.prepared import Prepared
    from model.interactive.predictor import Predictor
    from model.interactive.zoom import Window

LOOKED_AT = 2
"""References that a window is compared with; the most similar ones."""


class Windows:
    """What was looked at from near lately.

    Args:
        model: gives the network, loading it if need be.
        kept_copy: reads a reference.
    """

    def __init__(self, model: Callable[[], Predictor], kept_copy: Callable[[ImageKey], Pixels]):
        self._model, self._kept_copy = model, kept_copy
        self._prepared: WeightedLru[tuple[ImageKey, str, Window], Prepared] = WeightedLru(128 << 20)
        self._pixels: WeightedLru[ImageKey, Pixels] = WeightedLru(128 << 20)

    def look(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        nearest: tuple[str, ...],
        load: Load,
        window: Window,
    ) -> Prepared:
        """A window of an image, compared with the same part of its most similar references.

        Args:
            key: the image.
            bank: its references.
            nearest: those that the image is most like, best first.
            load: reads the image (H, W, 3) uint8 RGB; only called when it was not read lately.
            window: in image pixels.
        """
        name = (key, bank.fingerprint, window)
        with self._prepared.flight(name):
            if (cached := self._prepared.get(name)) is not None:
                return cached
            references = [
                self.pixels(reference, partial(self._kept_copy, reference))
                for reference in map(bank.key, nearest[:LOOKED_AT])
            ]
            pixels = self.pixels(key, load)
            prepared = self._model().look(pixels, window, references).kept()
            self._prepared.put(name, prepared, prepared.nbytes)
            return prepared

    def pixels(self, key: ImageKey, load: Load) -> Pixels:
        """The pixels of an image, read once as long as they are in use."""
        if (pixels := self._pixels.get(key)) is None:
            pixels = load()
            self._pixels.put(key, pixels, pixels.nbytes)
        return pixels
