"""Fingerprints of the code: what was computed by other code is not used again. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[1]

PREPARING = ("evidence", "features", "interactive", "matching")
"""The rooms that make an encoded or a prepared image what it is."""

SAMPLING = (*PREPARING, "generation", "labels", "language", "segmentation", "training")
"""The rooms that make the samples and the state of a training what they are."""


def fingerprint(rooms: Iterable[str], root: Path = ROOT) -> str:
    """Changes whenever a line in some rooms of the model does.

    A number that a person has to raise would be forgotten one day, and one derived from names and sizes sees no change
    of how things are computed. An upgrade that changes nothing but a comment costs some work done again.
    """
    digest = sha256()
    for room in sorted(rooms):
        for path in sorted((root / room).rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\n".encode())
            digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()
