"""Where the versions of a project stand, with the notes on them: in its folder, or shared by several machines."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypedDict

from adclick_backend.lock_file import locked
from adclick_backend.settings import Settings
from adclick_backend.store.database import KEPT_S
from adclick_backend.store.files import Files, open_files
from adclick_backend.store.files.kept import is_young
from adclick_backend.store.files.objects import manifest_of
from adclick_backend.store.locks import Locks
from adclick_backend.store.point_curves import CurveFiles
from adclick_backend.store.projects import KeyValueTable, project_id
from model.checkpoint.atomic import flush, sweep_leftovers, write_atomically

log = logging.getLogger(__name__)

NOTES = ("CURRENT", "HISTORY", "FORWARD", "SOURCE", "PROPOSALS", "LAST")
"""The notes on all versions of a project together."""

SHELF = "versions"
"""Key of the project's store: which versions it has, and the notes on them, when several machines share them."""

FRESH_S = 1.0
"""What another machine changed is seen after so long."""

_DELETED = "deleted-"


class Shelf(Protocol):
    """The versions of all projects by name, ``v4``, and the notes on them.

    A note is a small text such as ``CURRENT``, which version serves, or ``v4/operating-points.json``. Each is replaced
    in one step.
    """

    def note(self, project: str, name: str) -> str:
        """A note; "" when there is none."""

    def write(self, project: str, name: str, text: str) -> None:
        """Replace a note, inside of :meth:`changing`; raises OSError or DiskError when that cannot be done."""

    @contextmanager
    def changing(self, project: str) -> Iterator[None]:
        """Hold what keeps everybody else from changing the versions of a project, and the notes on them."""

    def look_again(self, project: str) -> None:
        """Let what is asked next be as it is now, also what another machine has just changed."""

    def names(self, project: str) -> list[str]:
        """The versions that are there, in no order."""

    def folder(self, project: str, name: str) -> Path:
        """The files of a version on this machine, fetched when need be; not there when there is no such version.

        Raises:
            FilesError: they cannot be fetched.
        """

    def name_of(self, project: str, folder: Path) -> str:
        """The version of a folder; "" when it is none of the project's."""

    def add(self, project: str, name: str, candidate: Path) -> None:
        """Keep a copy of a folder as a version, whole or not at all, inside of :meth:`changing`."""

    def set_aside(self, project: str, name: str) -> None:
        """Delete a version so that it can be taken back for `KEPT_S`, inside of :meth:`changing`."""

    def take_back(self, project: str, name: str) -> None:
        """A version that was set aside is there again, inside of :meth:`changing`."""

    def deleted(self, project: str) -> list[tuple[str, float]]:
        """Name, and Unix seconds of the deletion, of the versions that were set aside, in no order."""

    def curve(self, project: str, place: str, source: str) -> CurveFiles:
        """The curve of one source of a version, or of what stands beside the versions under that name."""


def open_shelf(settings: Settings, values: KeyValueTable, locks: Locks) -> Shelf:
    """The shelf that belongs to where files are kept."""
    files = open_files(settings)
    if files.local:
        return FolderShelf(settings.data_dir)
    return SharedShelf(files, values, locks, settings.data_dir / "cache" / "curves")


class FolderShelf:
    """Versions in ``data_dir/projects/<id>/models``, notes as files beside and inside them; see `Shelf`.

    A deleted version lies in ``deleted-NAME``.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def note(self, project: str, name: str) -> str:
        """See `Shelf`."""
        try:
            text = (self._folder(project) / name).read_bytes().decode("utf-8", "replace")
        except OSError:
            return ""
        return text or "\n"  # one that a power cut left empty is damaged, and not missing

    def write(self, project: str, name: str, text: str) -> None:
        """See `Shelf`."""
        write_atomically(self._folder(project) / name, text.encode())

    @contextmanager
    def changing(self, project: str) -> Iterator[None]:
        """See `Shelf`."""
        with locked(self._folder(project) / ".lock"):
            yield

    def look_again(self, project: str) -> None:
        """See `Shelf`: files are read whenever they are asked for."""

    def names(self, project: str) -> list[str]:
        """See `Shelf`."""
        found = self._folder(project).glob("v*")
        return [path.name for path in found if path.name[1:].isdecimal() and path.is_dir()]

    def folder(self, project: str, name: str) -> Path:
        """See `Shelf`."""
        return self._folder(project) / name

    def name_of(self, project: str, folder: Path) -> str:
        """See `Shelf`."""
        return folder.name if folder.parent == self._folder(project) else ""

    def add(self, project: str, name: str, candidate: Path) -> None:
        """See `Shelf`."""
        folder = self._folder(project)
        half = folder / f".{name}.half"
        shutil.rmtree(half, ignore_errors=True)  # of a process that was killed here
        sweep_leftovers(folder)
        _purge(folder)
        try:
            shutil.copytree(candidate, half)
            for path in (*half.rglob("*"), half):
                flush(path)
            half.rename(folder / name)
        finally:
            shutil.rmtree(half, ignore_errors=True)
        flush(folder)

    def set_aside(self, project: str, name: str) -> None:
        """See `Shelf`."""
        folder = self._folder(project)
        _purge(folder)
        os.utime(folder / name)  # the time of the deletion
        (folder / name).rename(
            folder / f"{_DELETED}{name}"
        )  # in one step: half a version would be a damaged one

    def take_back(self, project: str, name: str) -> None:
        """See `Shelf`."""
        folder = self._folder(project)
        (folder / f"{_DELETED}{name}").rename(folder / name)

    def deleted(self, project: str) -> list[tuple[str, float]]:
        """See `Shelf`."""
        found = self._folder(project).glob(f"{_DELETED}v*")
        return [(path.name.removeprefix(_DELETED), path.stat().st_mtime) for path in found]

    def curve(self, project: str, place: str, source: str) -> CurveFiles:
        """See `Shelf`."""
        return CurveFiles(self._folder(project) / place, source)

    def _folder(self, project: str) -> Path:
        return self._data_dir / "projects" / project_id(project) / "models"


class ShelfState(TypedDict):
    """What is written down of the versions of a project."""

    folders: dict[str, str]  # version -> name of its folder, which says what is in it
    deleted: dict[str, tuple[str, float]]  # version -> name of its folder, Unix seconds
    notes: dict[str, str]


@dataclass
class _Seen:
    """A state as it was read."""

    at: float  # monotonic seconds
    state: ShelfState


class SharedShelf:
    """Versions in an object store, the notes on them in the database; see `Shelf`.

    The database says which versions there are. The folder of one is called by what is in it, ``v4.1f2e3d4c5b6a7988``,
    and never changes. What the database said is known for `FRESH_S`, and as long as it cannot be asked.

    Args:
        files: the object store.
        values: of the database.
        locks: between all processes that share them.
        scratch: folder on this machine in which curves are put together.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        files: Files,
        values: KeyValueTable,
        locks: Locks,
        scratch: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files, self._values, self._locks, self._scratch = files, values, locks, scratch
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._reading = threading.Lock()

    def note(self, project: str, name: str) -> str:
        """See `Shelf`."""
        return self._state(project)["notes"].get(name, "")

    def write(self, project: str, name: str, text: str) -> None:
        """See `Shelf`."""
        state = self._state(project)
        notes = (
            {**state["notes"], name: text} if text else {k: v for k, v in state["notes"].items() if k != name}
        )
        self._change(project, {**state, "notes": notes})

    @contextmanager
    def changing(self, project: str) -> Iterator[None]:
        """See `Shelf`."""
        with self._locks.hold(f"versions-{project_id(project)}"):
            self._look(project)
            yield

    def look_again(self, project: str) -> None:
        """See `Shelf`."""
        with self._reading:
            if seen := self._seen.get(project):
                self._seen[project] = _Seen(-math.inf, seen.state)

    def names(self, project: str) -> list[str]:
        """See `Shelf`."""
        return list(self._state(project)["folders"])

    def folder(self, project: str, name: str) -> Path:
        """See `Shelf`."""
        kept = self._state(project)["folders"].get(name)
        if kept is None:
            return self._files.place(f"{_models(project)}/{name}")
        try:
            return self._files.path(f"{_models(project)}/{kept}")
        except FileNotFoundError:
            return self._files.place(f"{_models(project)}/{kept}")

    def name_of(self, project: str, folder: Path) -> str:
        """See `Shelf`."""
        for name, kept in self._state(project)["folders"].items():
            if folder == self._files.place(f"{_models(project)}/{kept}"):
                return name
        return ""

    def add(self, project: str, name: str, candidate: Path) -> None:
        """See `Shelf`."""
        kept = folder_name(name, manifest_of(candidate))
        self._purge(project)
        self._files.put_folder(f"{_models(project)}/{kept}", candidate)
        state = self._state(project)
        self._change(project, {**state, "folders": {**state["folders"], name: kept}})

    def set_aside(self, project: str, name: str) -> None:
        """See `Shelf`."""
        self._purge(project)
        state = self._state(project)
        folders = {**state["folders"]}
        deleted = {**state["deleted"], name: (folders.pop(name), time.time())}
        self._change(project, {**state, "folders": folders, "deleted": deleted})

    def take_back(self, project: str, name: str) -> None:
        """See `Shelf`."""
        state = self._state(project)
        deleted = {**state["deleted"]}
        folders = {**state["folders"], name: deleted.pop(name)[0]}
        self._change(project, {**state, "folders": folders, "deleted": deleted})

    def deleted(self, project: str) -> list[tuple[str, float]]:
        """See `Shelf`."""
        return [(name, float(at)) for name, (_, at) in self._state(project)["deleted"].items()]

    def curve(self, project: str, place: str, source: str) -> CurveFiles:
        """See `Shelf`."""
        shared = f"{_curves(project)}/{place}/{source}"
        return CurveFiles(self._scratch / secrets.token_hex(8), source, self._files, shared)

    def _state(self, project: str) -> ShelfState:
        with self._reading:
            seen = self._seen.get(project)
        if seen is not None and self._clock() - seen.at < FRESH_S:
            return seen.state
        try:
            return self._look(project)
        except Exception as error:
            if seen is None:
                raise
            log.warning("The versions of project %s are those known before: %s", project, error)
            self._remember(project, seen.state)
            return seen.state

    def _look(self, project: str) -> ShelfState:
        asked = self._clock()
        text = self._values.get(project_id(project), SHELF)
        state: ShelfState = json.loads(text) if text else {"folders": {}, "deleted": {}, "notes": {}}
        self._remember(project, state, asked)
        return state

    def _change(self, project: str, state: ShelfState) -> None:
        self._values.set(project_id(project), SHELF, json.dumps(state, ensure_ascii=False))
        self._remember(project, state)

    def _remember(self, project: str, state: ShelfState, at: float | None = None) -> None:
        with self._reading:
            self._seen[project] = _Seen(self._clock() if at is None else at, state)

    def _purge(self, project: str) -> None:
        """Delete for good what was set aside longer than `KEPT_S` ago, and what no version came of."""
        state, root = self._state(project), _models(project)
        old = {name: kept for name, (kept, at) in state["deleted"].items() if at < time.time() - KEPT_S}
        gone = set(old.values())
        if old:
            notes = {k: v for k, v in state["notes"].items() if k.partition("/")[0] not in old}
            deleted = {name: one for name, one in state["deleted"].items() if name not in old}
            self._change(project, {**state, "deleted": deleted, "notes": notes})
            for name in old:
                self._files.delete(f"{_curves(project)}/{name}")
        state = self._state(project)
        known = {*state["folders"].values(), *(kept for kept, _ in state["deleted"].values())}
        for folder in self._files.names(root):
            if folder not in known and (folder in gone or not is_young(self._files, f"{root}/{folder}")):
                self._files.delete(f"{root}/{folder}")


def folder_name(name: str, manifest: bytes) -> str:
    """What the folder of a version is called where several machines share it: by the version and the list of files."""
    return f"{name}.{hashlib.sha256(manifest).hexdigest()[:16]}"


def _models(project: str) -> str:
    return f"projects/{project_id(project)}/models"


def _curves(project: str) -> str:
    return f"projects/{project_id(project)}/curves"


def _purge(folder: Path) -> None:
    """Delete for good what was deleted longer than `KEPT_S` ago."""
    for path in folder.glob(f"{_DELETED}v*"):
        if path.stat().st_mtime < time.time() - KEPT_S:
            shutil.rmtree(path, ignore_errors=True)
