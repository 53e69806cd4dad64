"""What can be wrong with what a person or a program handed in, in words; importing this costs nothing."""

from __future__ import annotations


class ImageError(ValueError):
    """An image could not be fetched, read or decoded; the message says why and what to do about it."""


class BundleError(ValueError):
    """A bundle that cannot be used, or cannot be written; the text says what is wrong and what to do."""


class SettingsError(ValueError):
    """The environment holds a setting that cannot be; the message names it and the value found."""


class ApiError(Exception):
    """A request that cannot be served, and why.

    Args:
        status: HTTP status.
        code: a word for programs, such as ``"bad_request"``.
        message: one sentence for a person.
        field: the part of the body that is wrong, such as ``"tasks.0.data"``.
    """

    def __init__(self, status: int, code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
