"""Names and rights of files in the data folder."""

from __future__ import annotations

import re
from pathlib import Path

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
