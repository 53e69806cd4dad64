"""Images worked on a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

STRIP = 256
"""Rows that are worked on at a time: what is computed on the way never takes the memory of a whole image."""


def strips(height: int) -> Iterator[slice]:
    """The rows of an image, `STRIP` at a time."""
    return (slice(top, min(top + STRIP, height)) for top in range(0, height, STRIP))
