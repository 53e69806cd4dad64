"""Where a first click was expected before it came, which decides where its answer looks from near."""

from __future__ import annotations

from typing import NamedTuple


class Near(NamedTuple):
    """Windows of an image. An object keeps those that it was begun with: each of its answers builds on the one before.

    Attributes:
        bank: fingerprint of the references that the image was compared with.
        windows: top, left, height and width of each, in whole image pixels.
    """

    bank: str
    windows: tuple[tuple[int, int, int, int], ...] = ()
