"""The image files that a command line names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

SUFFIXES = frozenset((".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
"""By these a folder's images are known; a file that is named itself is read whatever its name."""


def image_files(named: Iterable[Path]) -> Iterator[Path]:
    """Files as they are named, and of each folder its images and those of the folders in it, by name.

    A file that does not exist is among them: reading it says so.
    """
    for path in named:
        if path.is_dir():
            yield from sorted(
                file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file()
            )
        else:
            yield path
