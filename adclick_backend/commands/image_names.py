"""The names of images below folders and buckets, one after the other: a million of them take no memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adclick_backend.commands.references import LEFT_OUT, SUFFIXES
from adclick_backend.errors import FilesError
from adclick_backend.store.files.s3 import S3
from adclick_backend.store.files.words import trouble

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

BUCKET = "s3://"


def names_below(path: str, passed_over: list[str]) -> Iterator[str]:
    """Every image below a folder or an ``s3://bucket/prefix``; a file that was named is taken whatever its suffix.

    Args:
        path: what was named.
        passed_over: gets the names of images that are not taken because of their suffix.

    Raises:
        FilesError: what talks to buckets is not installed.
        OSError: a folder or the bucket cannot be read.
    """
    if path.startswith(BUCKET):
        with _in_words(path):
            bucket, _, key = path.removeprefix(BUCKET).rstrip("/").partition("/")
            system = S3(path).file_system()
            if key and system.isfile(f"{bucket}/{key}"):
                yield path
            else:
                yield from _taken(_in_bucket(system, bucket, f"{key}/" if key else ""), passed_over)
    elif os.path.isdir(path):  # noqa: PTH112
        yield from _taken(_walk(path), passed_over)
    else:
        yield path


def _taken(names: Iterator[str], passed_over: list[str]) -> Iterator[str]:
    """Those that are images by their suffix."""
    for name in names:
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122  (no Path for each of a million)
        if suffix in SUFFIXES:
            yield name
        elif suffix in LEFT_OUT:
            passed_over.append(name)


class Images:
    """Reads images by name; connections to a bucket are kept."""

    def __init__(self) -> None:
        self._bucket: AbstractFileSystem | None = None

    def read(self, name: str) -> bytes:
        """The file.

        Raises:
            OSError: it cannot be read.
        """
        if not name.startswith(BUCKET):
            return Path(name).read_bytes()
        with _in_words(name):
            if self._bucket is None:
                self._bucket = S3(name).file_system()
            return bytes(self._bucket.cat_file(name))


@contextmanager
def _in_words(url: str) -> Iterator[None]:
    """What goes wrong with a bucket is an OSError with a sentence."""
    try:
        yield
    except FilesError:
        raise
    except Exception as error:
        raise trouble(error, "/".join(url.split("/")[:3])) or error from error


def _walk(folder: str) -> Iterator[str]:
    """Files of a folder and then those of its folders; not the hidden ones, such as the ._x.png of macOS."""
    below = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.path)
            elif entry.is_file():
                yield entry.path
    for each in sorted(below):
        yield from _walk(each)


def _in_bucket(system: Any, bucket: str, prefix: str) -> Iterator[str]:
    """What begins with the prefix, page by page."""
    more: dict[str, str] = {}
    while True:
        page = system.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, **more)
        for each in page.get("Contents", ()):
            if not any(part.startswith(".") for part in each["Key"].removeprefix(prefix).split("/")):
                yield f"{BUCKET}{bucket}/{each['Key']}"
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}
