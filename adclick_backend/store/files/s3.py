"""The way to an S3 bucket, through s3fs: credentials and endpoint come from the environment that all its tools read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adclick_backend.errors import FilesError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

CONNECT_S, READ_S, TRIES = 3, 7, 2
"""Seconds until a connection, and until the next byte; how often something is asked for."""


class S3:
    """A bucket, or a prefix in it.

    ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_ENDPOINT_URL`` and the other ways in which Amazon's
    libraries find an account hold; nothing of them is read or kept here.

    Args:
        url: ``s3://bucket/prefix``.

    Raises:
        FilesError: s3fs is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import s3fs  # noqa: F401
        except ImportError as error:
            raise FilesError(
                f"{url} is in an object store, and what talks to object stores is not installed: pip install "
                "'adclick-backend[many-machines]'."
            ) from error
        self.root = url.removeprefix("s3://")

    @staticmethod
    def file_system() -> AbstractFileSystem:
        """A connection of this process."""
        from adclick_backend.store.files.bounded_s3 import BoundedS3

        made = BoundedS3(
            use_listings_cache=False,
            skip_instance_cache=True,
            config_kwargs={
                "connect_timeout": CONNECT_S,
                "read_timeout": READ_S,
                "retries": {"total_max_attempts": 1},  # s3fs tries again
                # Stores other than Amazon's do not know the newer checksums.
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            },
        )
        made.retries = TRIES
        return made
