"""Files of the data folder: written whole or not at all, named by content, swept when nothing refers to them."""

from __future__ import annotations

import re
import secrets
import time
from pathlib import Path

_SUFFIX = re.compile(r"\.([A-Za-z0-9]{1,5})$")

_LEFTOVER_AGE_S = 600.0


def copy_name(sha: str, name: str) -> str:
    """The file name of a kept copy: its SHA-256, with the ending of the name that a person knows it by."""
    suffix = _SUFFIX.search(name)
    return f"{sha}.{suffix[1].lower() if suffix else 'img'}"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        half.write_bytes(data)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def is_young(file: Path) -> bool:
    """Whether the file was written just now: what refers to it may be about to be written as well."""
    try:
        return time.time() - file.stat().st_mtime <= _LEFTOVER_AGE_S
    except FileNotFoundError:  # another worker swept it
        return True
