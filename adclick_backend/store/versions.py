"""The versions that trainings brought forth, on disk: publish, activate, roll back, delete. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from adclick_backend.files import write_atomically
from adclick_backend.lock_file import locked
from adclick_backend.store import project_id
from model.checkpoint.manifest import PACKAGED, CheckpointError, manifest_path, read_manifest

WEIGHTS = "weights.safetensors"

Signature = tuple[tuple[int, int, int], ...]


class RegistryError(RuntimeError):
    """A version cannot be used as asked; the message says why and what to do."""


@dataclass(frozen=True)
class Version:
    """A trained version of one project.

    Attributes:
        name: ``"v4"``.
        folder: holds ``weights.safetensors``, its manifest ``weights.json``, ``comparison.json`` and
            ``pictures/*.png``.
        created: Unix seconds.
        metrics: of the hold-out, as its manifest has them.
        manifest: all of the manifest; empty when it cannot be read.
        serving: whether predictions come from it now.
        damage: a sentence that says what is wrong with its files; "" when they are in order.
    """

    name: str
    folder: Path
    created: float
    metrics: dict[str, Any]
    manifest: dict[str, Any]
    serving: bool
    damage: str = ""

    @property
    def weights(self) -> Path:
        """The checkpoint."""
        return self.folder / WEIGHTS

    @property
    def comparison(self) -> dict[str, Any]:
        """How it did against the version before; empty when that was not kept."""
        try:
            found = json.loads((self.folder / "comparison.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def pictures(self) -> list[Path]:
        """Pictures of where it and the version before differ, the largest difference first."""
        return sorted((self.folder / "pictures").glob("*.png"))


class Registry:
    """The versions of all projects, in ``data_dir/projects/<id>/models``.

    ``CURRENT`` names the version that serves, ``HISTORY`` those that served before it, the latest last, and ``LAST``
    is the highest number that a deleted version may have had, so that no name comes back. Each is replaced in one
    step, and every worker process looks at ``CURRENT`` before it answers: a switch is seen at once, by all.

    Args:
        data_dir: data folder of the backend.
        base: version of the click network, which the names of trained versions begin with; the packaged one's
            by default.
    """

    def __init__(self, data_dir: Path, base: str | None = None) -> None:
        self._data_dir = data_dir
        self._given_base = base
        self._checked: dict[Path, tuple[Signature, Version]] = {}

    # --- reading

    def list(self, project: str) -> list[Version]:
        """Every version of the project, the newest first, damaged ones included."""
        serving = self.current(project)
        found = [version for folder in self._versions(project) if (version := self._read(folder)) is not None]
        found.sort(key=lambda version: int(version.name[1:]), reverse=True)
        return [replace(v, serving=serving is not None and v.name == serving.name) for v in found]

    def get(self, project: str, name: str) -> Version:
        """The version of that name.

        Raises:
            RegistryError: there is none.
        """
        for version in self.list(project):
            if version.name == name:
                return version
        known = ", ".join(version.name for version in self.list(project)) or "none"
        raise RegistryError(f"Project {project} has no version {name[:40]!r}; it has: {known}.")

    def current(self, project: str) -> Version | None:
        """The version that serves; None when only the packaged click network does. Costs a few file stats.

        When its files are damaged, the one that served before it does instead.
        """
        folder = self._folder(project)
        for name in (*_lines(folder / "CURRENT"), *reversed(_lines(folder / "HISTORY"))):
            version = self._read(folder / name)
            if version is not None and not version.damage:
                return replace(version, serving=True)
        return None

    def serving_name(self, project: str) -> str:
        """What Label Studio is told as ``model_version``: ``adclick-lite-2``, trained ``adclick-lite-2+p3-v4``."""
        version = self.current(project)
        return self._base if version is None else self.full_name(project, version.name)

    def full_name(self, project: str, name: str) -> str:
        """The name of a version that is unique among all projects."""
        return f"{self._base}+p{project_id(project)}-{name}"

    def new_name(self, project: str) -> str:
        """The name that the next version gets; no deleted version had it."""
        folder = self._folder(project)
        numbers = [int(path.name[1:]) for path in self._versions(project)]
        return f"v{max([*numbers, *map(int, _lines(folder / 'LAST'))], default=0) + 1}"

    # --- changing

    def publish(self, project: str, candidate: Path, name: str) -> Version:
        """Take a copy of a candidate's folder among the versions; it does not serve yet.

        A crash at any moment leaves either no version of that name or all of it.

        Raises:
            RegistryError: the name is taken, or the candidate's files are damaged.
            OSError: the disk is full, or cannot be written.
        """
        folder = self._folder(project)
        folder.mkdir(parents=True, exist_ok=True)
        new = self._read(candidate)
        if new is None or new.damage:
            raise RegistryError(f"The new version was not kept. {new.damage if new else 'It has no files.'}")
        with locked(folder / ".lock"):
            if name != self.new_name(project):
                raise RegistryError(f"The next version of project {project} cannot be called {name[:40]!r}.")
            half = folder / f".{name}.half"
            shutil.rmtree(half, ignore_errors=True)  # of a process that was killed here
            try:
                shutil.copytree(candidate, half)
                for path in (*half.rglob("*"), half):
                    _sync(path)
                half.rename(folder / name)
            finally:
                shutil.rmtree(half, ignore_errors=True)
            _sync(folder)
        return self.get(project, name)

    def activate(self, project: str, name: str) -> Version:
        """From now on this version serves, in all worker processes.

        Raises:
            RegistryError: there is no such version, or its files are damaged.
        """
        folder = self._folder(project)
        chosen = self.get(project, name)
        if chosen.damage:
            raise RegistryError(f"Version {name} cannot serve: {chosen.damage} Choose another one.")
        with locked(folder / ".lock"):
            before = _lines(folder / "CURRENT")
            if before != [name]:
                self._write(folder / "HISTORY", [*_lines(folder / "HISTORY"), *before][-200:])
                self._write(folder / "CURRENT", [name])
        return replace(chosen, serving=True)

    def before(self, project: str) -> Version | None:
        """The version that a roll back would let serve; None when that is the packaged network."""
        serving, folder = self.current(project), self._folder(project)
        if serving is None:
            return None
        names = reversed(_lines(folder / "HISTORY"))
        found = next((n for n in names if n != serving.name and self._is_intact(folder / n)), None)
        return None if found is None else self._read(folder / found)

    def roll_back(self, project: str) -> Version | None:
        """The version that served before serves again; None when that is the packaged click network alone.

        Raises:
            RegistryError: no trained version serves.
        """
        folder = self._folder(project)
        serving = self.current(project)
        if serving is None:
            raise RegistryError(
                f"No trained version serves project {project}: there is nothing to roll back."
            )
        with locked(folder / ".lock"):
            history = _lines(folder / "HISTORY")
            while history and (history[-1] == serving.name or not self._is_intact(folder / history[-1])):
                history.pop()
            self._write(folder / "CURRENT", history[-1:])
            self._write(folder / "HISTORY", history[:-1])
        return self.current(project)

    def delete(self, project: str, name: str) -> None:
        """Delete a version's files.

        Raises:
            RegistryError: it serves, or there is no such version.
        """
        folder = self._folder(project)
        if self.get(project, name).serving:
            raise RegistryError(
                f"Version {name} serves project {project}: activate another version or roll back first."
            )
        with locked(folder / ".lock"):
            number = self.new_name(project)[1:]
            self._write(folder / "LAST", [str(int(number) - 1)])
            gone = folder / f".{name}.gone"  # in one step: half a version would be listed as damaged
            (folder / name).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
            self._write(folder / "HISTORY", [kept for kept in _lines(folder / "HISTORY") if kept != name])

    # --- files

    @cached_property
    def _base(self) -> str:
        return self._given_base or str(read_manifest(PACKAGED)["version"])

    def _folder(self, project: str) -> Path:
        return self._data_dir / "projects" / project_id(project) / "models"

    def _versions(self, project: str) -> Iterator[Path]:
        for path in self._folder(project).glob("v*"):
            if path.name[1:].isdecimal() and path.is_dir():
                yield path

    def _is_intact(self, folder: Path) -> bool:
        version = self._read(folder)
        return version is not None and not version.damage

    def _read(self, folder: Path) -> Version | None:
        """The version in a folder; its weights are only read again when a file of it changed."""
        weights = folder / WEIGHTS
        signature = _signature(weights, manifest_path(weights))
        known = self._checked.get(folder)
        if known is not None and known[0] == signature:
            return known[1]
        if not folder.is_dir():
            return None
        try:
            manifest = read_manifest(weights)
            damage = _damage(weights, manifest)
        except CheckpointError as error:
            manifest, damage = {}, str(error)
        version = Version(
            folder.name,
            folder,
            float(manifest.get("created", folder.stat().st_mtime)),
            manifest.get("metrics", {}),
            manifest,
            serving=False,
            damage=damage,
        )
        self._checked[folder] = signature, version
        return version

    def _write(self, path: Path, lines: Iterable[str]) -> None:
        write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
        _sync(path)
        _sync(path.parent)


def _damage(weights: Path, manifest: dict[str, Any]) -> str:
    """What is wrong with a checkpoint, in a sentence; "" when it is the file that its manifest describes."""
    try:
        found = hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        return f"The weights {weights.name} cannot be read: {error.strerror}."
    expected = str(manifest["sha256"])
    if found == expected:
        return ""
    return (
        f"The weights {weights.name} are damaged or were exchanged: their sha256 is {found[:12]}..., "
        f"the manifest says {expected[:12]}..."
    )


def _signature(*paths: Path) -> Signature:
    """What changes when a file does: modification time, size and inode of each."""
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            found.append((0, 0, 0))
        else:
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


def _lines(path: Path) -> list[str]:
    """The lines of a small file; none when it is not there."""
    try:
        return path.read_text("utf-8").split()
    except OSError:
        return []


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk, not only in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
