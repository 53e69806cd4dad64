"""What can be wrong with what a person or Label Studio named, in words; importing this costs nothing."""

from __future__ import annotations

from adclick_runtime.errors import ApiError, ImageError, SettingsError

__all__ = [
    "ApiError",
    "BusyError",
    "FilesError",
    "ImageError",
    "ProjectIdError",
    "SettingsError",
    "StoreError",
    "bad_request",
]


class BusyError(ImageError):
    """Another request is fetching or preparing the same image, and this one cannot wait any longer."""


class FilesError(OSError):
    """The object store that keeps the files cannot be used; the message says why and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.strerror = message


class ProjectIdError(ValueError):
    """What was sent as a project is not a Label Studio project id."""


class StoreError(RuntimeError):
    """The database cannot be opened; the message says why and what to do."""


def bad_request(message: str, field: str = "") -> ApiError:
    """A body or parameter that this backend cannot read."""
    return ApiError(400, "bad_request", message, field)
