"""Where first clicks are to be expected in images that were proposed for, as long as that is remembered."""

from __future__ import annotations

from adclick_backend.clicks.near import Near
from adclick_backend.engine.bank import ImageKey
from adclick_backend.engine.cache import WeightedLru

_MOST = 1000  # images


class ExpectedWindows:
    """Remembers it of the images that were proposed for last."""

    def __init__(self) -> None:
        self._known: WeightedLru[tuple[ImageKey, str], Near] = WeightedLru(_MOST)

    def get(self, key: ImageKey, bank: str) -> Near:
        """What is known of an image with the references of that fingerprint; no window when nothing is."""
        return self._known.get((key, bank)) or Near(bank)

    def put(self, key: ImageKey, near: Near) -> None:
        """The image was proposed for."""
        self._known.put((key, near.bank), near, 1)
