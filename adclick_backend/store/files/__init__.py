"""Where the files of the projects are kept: the data folder, or an object store that several machines share."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from adclick_backend.settings import Settings
from adclick_backend.store.files.cache import FileCache
from adclick_backend.store.files.kept import Files, FilesError
from adclick_backend.store.files.local import LocalFiles
from adclick_backend.store.files.objects import ObjectFiles

__all__ = ["Files", "FilesError", "LocalFiles", "ObjectFiles", "open_files"]


def open_files(settings: Settings) -> Files:
    """The files of the settings; nothing is asked over the network yet.

    Raises:
        FilesError: what talks to object stores is not installed.
    """
    if not settings.files_url:
        return LocalFiles(settings.data_dir)
    return _bucket(settings.files_url, settings.data_dir, settings.files_cache_mb)


@lru_cache(maxsize=8)
def _bucket(url: str, data_dir: Path, cache_mb: int) -> ObjectFiles:
    """The files in a bucket, the same object for the same bucket: it knows what is here, and whether it is away."""
    from adclick_backend.store.files.s3 import S3

    bucket = S3(url)
    return ObjectFiles(
        bucket.file_system, bucket.root, url, FileCache(data_dir / "cache" / "files", cache_mb)
    )
