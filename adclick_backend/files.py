"""Files of the data folder: named by content, swept when nothing refers to them."""

from __future__ import annotations

import re
import time
from pathlib import Path

from model.checkpoint.atomic import LEFTOVER_AGE_S

_SUFFIX = re.compile(r"\.([A-Za-z0-9]{1,5})$")


def copy_name(sha: str, name: str) -> str:
    """The file name of a kept copy: its SHA-256, with the ending of the name that a person knows it by."""
    suffix = _SUFFIX.search(name)
    return f"{sha}.{suffix[1].lower() if suffix else 'img'}"


def private(file: Path) -> Path:
    """The file, made when it is not there, so that only its owner reads it: a log may hold what nobody foresaw."""
    file.touch(0o600)
    if (mode := file.stat().st_mode) & 0o077:
        file.chmod(mode & 0o700)
    return file


def is_young(file: Path) -> bool:
    """Whether the file was written just now: what refers to it may be about to be written as well."""
    try:
        return time.time() - file.stat().st_mtime <= LEFTOVER_AGE_S
    except FileNotFoundError:  # another worker swept it
        return True
