"""The files of a data folder that move, under the names that they get in an object store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from adclick_backend.store.files.cache import MANIFEST
from adclick_backend.store.files.objects import manifest_of
from adclick_backend.store.operating_points import FILE as POINTS
from adclick_backend.store.operating_points import UNTRAINED
from adclick_backend.store.shelves import NOTES, ShelfState, folder_name
from adclick_backend.store.version_reading import REFUSED

COMPUTED = frozenset({"cache", "gallery", "thumbnails", "training", "tries", "exports"})
"""Folders of a project that hold what is computed again, or is soon forgotten; they stay."""

_DELETED = "deleted-"
_PLAIN = ("references", "labels", "reports", "generated")


class Digest(NamedTuple):
    """What is in a file."""

    size: int  # bytes
    md5: str  # as most stores give it as their ETag
    sha256: str


@dataclass(frozen=True)
class Moved:
    """One object of the target.

    Attributes:
        name: of it.
        path: of the file that it is made of; None for one that `data` is made of.
        data: its bytes, when it has no file.
    """

    name: str
    path: Path | None
    data: bytes = b""

    def digest(self) -> Digest:
        """What is in it; raises OSError."""
        if self.path is None:
            return Digest(len(self.data), *(_hash(kind, self.data) for kind in ("md5", "sha256")))
        size, md5, sha256 = 0, hashlib.md5(usedforsecurity=False), hashlib.sha256()
        with self.path.open("rb") as file:
            while part := file.read(1 << 20):
                size += len(part)
                md5.update(part)
                sha256.update(part)
        return Digest(size, md5.hexdigest(), sha256.hexdigest())


@dataclass(frozen=True)
class ProjectContents:
    """What moves of one project.

    Attributes:
        project: its id.
        files: its objects: of a folder that counts as a whole, the list comes last.
        state: its versions and the notes on them.
        left: names of folders that nobody knows; they stay.
    """

    project: str
    files: tuple[Moved, ...]
    state: ShelfState
    left: tuple[str, ...]


def contents_of(data_dir: Path) -> Iterator[ProjectContents]:
    """What moves, project by project."""
    for folder in sorted((data_dir / "projects").glob("*")):
        if folder.is_dir() and folder.name.isdecimal():
            yield _project(folder)


def _project(folder: Path) -> ProjectContents:
    root, found = f"projects/{folder.name}", []
    for kind in _PLAIN:
        found += [
            Moved(f"{root}/{path.relative_to(folder).as_posix()}", path) for path in _files(folder / kind)
        ]
    for path in _files(folder / "jobs"):
        if path.name in ("log.txt", "curve.jsonl"):
            found.append(Moved(f"{root}/{path.relative_to(folder).as_posix()}", path))
    models, state = folder / "models", ShelfState(folders={}, deleted={}, notes={})
    for place in sorted(models.glob("*v*")):
        name = place.name.removeprefix(_DELETED)
        if not place.is_dir() or not name[1:].isdecimal() or name[0] != "v":
            continue
        files = _of_version(place)
        kept = folder_name(name, manifest_of(place, files))
        if place.name == name:
            state["folders"][name] = kept
        else:
            state["deleted"][name] = (kept, place.stat().st_mtime)
        found += _whole(f"{root}/models/{kept}", place, files)
        _add_notes(state, place, name)
        found += _curves(f"{root}/curves/{name}", place / "curves")
    _add_notes(state, models / UNTRAINED, UNTRAINED)
    found += _curves(f"{root}/curves/{UNTRAINED}", models / UNTRAINED / "curves")
    for note in NOTES:
        if text := _text(models / note):
            state["notes"][note] = text
    known = {*COMPUTED, *_PLAIN, "jobs", "models"}
    left = tuple(
        path.name for path in sorted(folder.iterdir()) if path.name not in known and path.name[0] != "."
    )
    return ProjectContents(folder.name, tuple(found), state, left)


def _of_version(place: Path) -> list[Path]:
    """The files of a version that never change."""
    notes = {POINTS, *REFUSED.values()}
    found = []
    for path in _files(place):
        parts = path.relative_to(place).parts
        if parts[0] != "curves" and path.name not in notes:
            found.append(path)
    return found


def _whole(name: str, place: Path, files: list[Path]) -> list[Moved]:
    """A folder that counts as a whole, with the list of its files."""
    found = [Moved(f"{name}/{path.relative_to(place).as_posix()}", path) for path in files]
    return [*found, Moved(f"{name}/{MANIFEST}", None, manifest_of(place, files))]


def _curves(name: str, folder: Path) -> list[Moved]:
    found = []
    for place in sorted(folder.glob("*")) if folder.is_dir() else ():
        if place.is_dir() and (files := list(_files(place))):
            found += _whole(f"{name}/{place.name}", place, files)
    return found


def _add_notes(state: ShelfState, place: Path, name: str) -> None:
    for note in (POINTS, *REFUSED.values()):
        if text := _text(place / note):
            state["notes"][f"{name}/{note}"] = text


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, besides those that are being written."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _hash(kind: str, data: bytes) -> str:
    return hashlib.new(kind, data, usedforsecurity=False).hexdigest()
