"""What can be wrong with what a person or Label Studio named, in words; importing this costs nothing."""

from __future__ import annotations


class ImageError(ValueError):
    """An image could not be fetched, read or decoded; the message says why and what to do about it."""


class ProjectIdError(ValueError):
    """What was sent as a project is not a Label Studio project id."""
