"""Names of files and folders that every system takes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_LONGEST = 80  # characters, so that a number or a suffix fits beside it
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def safe(name: str) -> str:
    """A name for a file: letters, digits, ``.``, ``-`` and ``_`` stay, whatever else there is becomes ``_``."""
    plain = re.sub(r"[^\w.-]+", "_", name)[:_LONGEST].strip(".")
    return f"_{plain}" if not plain or _RESERVED.fullmatch(plain) else plain


def folders_of(types: Sequence[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A folder for each type, called as it is where that is possible, no two alike, whatever their case.

    Args:
        types: the names.
        taken: folders that are none of a type.
    """
    used, found = {name.lower() for name in taken}, {}
    for name in types:
        folder, number = safe(name), 1
        while folder.lower() in used:
            number += 1
            folder = f"{safe(name)}-{number}"
        used.add(folder.lower())
        found[name] = folder
    return found
