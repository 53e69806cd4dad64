"""What can go wrong with an image, in words for the person who wants to label it."""

from __future__ import annotations


class ImageError(ValueError):
    """An image could not be fetched, read or decoded; the message says why and what to do about it."""
