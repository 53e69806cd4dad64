"""Where the files of the projects are kept: the data folder, or an object store that several machines share."""

from __future__ import annotations

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
    from adclick_backend.store.files.s3 import S3

    store = S3(settings.files_url)
    cache = FileCache(settings.data_dir / "cache" / "files", settings.files_cache_mb)
    return ObjectFiles(store.file_system, store.root, settings.files_url, cache)
