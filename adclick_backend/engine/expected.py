"""Where first clicks are to be expected in images that were proposed for, as long as that is remembered."""

from __future__ import annotations

from contextlib import suppress

from adclick_backend.clicks.near import Near
from adclick_backend.engine.bank import ImageKey
from adclick_backend.engine.lru import WeightedLru
from adclick_backend.store import DiskError
from adclick_backend.store.expected_clicks import ExpectedClicks

_MOST = 1000  # images


class ExpectedWindows:
    """Remembers it of the images that were proposed for last.

    Attributes:
        shared: where other backends find it and this one finds theirs; None while there are none.
    """

    def __init__(self) -> None:
        self.shared: ExpectedClicks | None = None
        self._known: WeightedLru[tuple[ImageKey, str], Near] = WeightedLru(_MOST)

    def get(self, key: ImageKey, bank: str) -> Near:
        """What is known of an image with the references of that fingerprint; no window when nothing is."""
        if self.shared is not None:
            try:
                return Near(bank, self.shared.get(key.project, key.name, bank) or ())
            except DiskError:  # then what this process knows has to do
                pass
        return self._known.get((key, bank)) or Near(bank)

    def put(self, key: ImageKey, near: Near) -> None:
        """The image was proposed for."""
        self._known.put((key, near.bank), near, 1)
        if self.shared is not None:
            with suppress(DiskError):
                self.shared.put(key.project, key.name, near.bank, near.windows)
