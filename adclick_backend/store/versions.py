"""The versions that trainings brought forth, on disk: publish, activate, roll back, delete, and undo. No torch here."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from adclick_backend import __version__
from adclick_backend.lock_file import locked
from adclick_backend.store import project_id, proposal_source
from adclick_backend.store.database import KEPT_S
from adclick_backend.store.operating_points import UNTRAINED, read_points
from adclick_backend.store.proposal_source import (
    ALWAYS,
    AUTOMATIC,
    JOINT,
    LEARNED,
    RESIDUAL,
    WHEN,
    ProposalSource,
    words_of_source,
)
from adclick_backend.store.version import CLICKS, DETECTOR, WEIGHTS, Version
from model.checkpoint.atomic import flush, sweep_leftovers, write_atomically
from model.checkpoint.described import check_click, check_detector, check_segmentation
from model.checkpoint.manifest import (
    PACKAGED,
    CheckpointError,
    UnreadableError,
    manifest_path,
    read_checked,
    read_manifest,
)

log = logging.getLogger(__name__)

REFUSED = {WEIGHTS: "refused.json", CLICKS: "click-refused.json", DETECTOR: "detector-refused.json"}
"""Beside weights of a version that could not be loaded: by which release, and why."""

_DELETED = "deleted-"

_UNTRAINED = (proposal_source.PACKAGED, RESIDUAL)  # sources that need no version

Signature = tuple[tuple[int, int, int], ...]


class RegistryError(RuntimeError):
    """A version cannot be used as asked; the message says why and what to do."""


class _Looked(NamedTuple):
    """What is known of one network of a version: its manifest, what is wrong, and whether that stays so."""

    manifest: dict[str, Any]
    damage: str
    lasts: bool


class Registry:
    """The versions of all projects, in ``data_dir/projects/<id>/models``.

    ``CURRENT`` names the version that serves, ``HISTORY`` those that served before it, the latest last, ``FORWARD``
    those that were rolled back from since one was last activated, and ``LAST`` is the highest number that a deleted
    version may have had, so that no name is given twice. Each is replaced in one step, and every worker process looks
    at ``CURRENT`` before it answers: a switch is seen at once, by all. A deleted version lies in ``deleted-NAME`` for
    `KEPT_S`, and goes when the next one is published or deleted after that.

    Args:
        data_dir: data folder of the backend.
        base: version of the click network, which the names of trained versions begin with; by default that of
            ``click``.
        click: its checkpoint.
        shared: gives what proposes for projects that nothing was trained for, after the version of its detectors, ""
            when it has none.
    """

    def __init__(
        self,
        data_dir: Path,
        base: str | None = None,
        click: Path = PACKAGED,
        shared: Callable[[], tuple[str, ProposalSource]] = lambda: (
            "",
            ProposalSource(proposal_source.PACKAGED),
        ),
    ) -> None:
        self._data_dir, self._shared = data_dir, shared
        self._given_base, self._click = base, click
        self._checked: dict[Path, tuple[Signature, Version]] = {}
        self._refused: dict[Path, dict[str, str]] = {}  # what could not be written down, on a full disk say

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

        When it is damaged, or could not be loaded, the one that served before it does instead.
        """
        folder = self._folder(project)
        for name in (*_lines(folder / "CURRENT"), *reversed(_lines(folder / "HISTORY"))):
            version = self._read(folder / name)
            if version is not None and not version.damage:
                return replace(version, serving=True)
        return None

    def fallen(self, project: str) -> Version | None:
        """The version that somebody chose and that cannot serve, so that another does; None when it serves."""
        folder = self._folder(project)
        for name in _lines(folder / "CURRENT"):
            version = self._read(folder / name)
            if version is not None and version.damage:
                return version
        return None

    def serving_name(self, project: str) -> str:
        """What Label Studio is told as ``model_version``: ``adclick-lite-2``, trained ``adclick-lite-2+p3-v4``.

        A source that somebody chose comes after it, ``adclick-lite-2+p3-v4-residual``, and so do thresholds,
        ``adclick-lite-2+p3-v4-at-1f2e3d4c``: for Label Studio that is another version, whose predictions it asks for.
        """
        version, choice = self.current(project), self.choice(project)
        proposing = self._proposing(project, version, choice)
        if version is not None:
            name, usual = self.full_name(project, version.name), version.source
        else:
            shared, source = self._shared()
            automatic = proposing is None or choice not in _UNTRAINED
            name = f"{self._base}+{shared}" if shared and automatic else self._base
            usual = source.name if automatic else AUTOMATIC
        if proposing is not None and proposing.name != usual:
            name = f"{name}-{proposing.name.replace(JOINT, '-')}"
        if proposing is not None and proposing.points:
            name = f"{name}-at-{hashlib.sha256(repr(proposing.points).encode()).hexdigest()[:8]}"
        return name

    def proposing(self, project: str) -> ProposalSource | None:
        """What masks before the first click come from; None for what a project gets that nothing was trained for."""
        return self._proposing(project, self.current(project), self.choice(project))

    def _proposing(self, project: str, version: Version | None, choice: str) -> ProposalSource | None:
        if version is not None:
            return version.proposing(choice)
        source = ProposalSource(choice) if choice in _UNTRAINED else self._shared()[1]
        points = read_points(self.points_folder(project, None), source.name)
        return source.at(points) if points or choice in _UNTRAINED else None

    def shared_source(self, project: str) -> ProposalSource:
        """:meth:`proposing`, where that is None what every project gets that nothing was trained for."""
        return self.proposing(project) or self._shared()[1]

    def points_folder(self, project: str, version: Version | None) -> Path:
        """Where the operating points of a version are kept; None: of what proposes before any training."""
        return self._folder(project) / UNTRAINED if version is None else version.folder

    def choice(self, project: str) -> str:
        """The source of masks that somebody chose for the project; `AUTOMATIC` for the one that was measured best."""
        return next(iter(_lines(self._folder(project) / "SOURCE")), AUTOMATIC)

    def choose(self, project: str, source: str) -> None:
        """Let masks before the first click come from one source, in all worker processes.

        Args:
            project: project id.
            source: its name, or `AUTOMATIC`.

        Raises:
            RegistryError: neither the version that serves nor the package has it.
        """
        version, folder = self.current(project), self._folder(project)
        proposing = self._proposing(project, version, source)
        if source != AUTOMATIC and (proposing is None or proposing.name != source):
            who = f"version {version.name}" if version else "the packaged networks"
            raise RegistryError(
                f"Masks cannot come from {words_of_source(source[:60])}: {who} of project {project} cannot make them. "
                "Choose another source, or train first."
            )
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock"):
            self._write(folder / "SOURCE", [source] if source else [])

    def when(self, project: str) -> str:
        """When the project wants masks before the first click, one of `WHEN`."""
        said = next(iter(_lines(self._folder(project) / "PROPOSALS")), ALWAYS)
        return said if said in WHEN else ALWAYS

    def propose_when(self, project: str, when: str) -> None:
        """Say when masks are proposed before the first click, in all worker processes.

        Args:
            project: project id.
            when: one of `WHEN`.

        Raises:
            RegistryError: it is none of them.
        """
        if when not in WHEN:
            raise RegistryError(
                f"Masks before the first click cannot be {when[:40]!r}: choose one of {', '.join(WHEN)}."
            )
        folder = self._folder(project)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock"):
            self._write(folder / "PROPOSALS", [] if when == ALWAYS else [when])

    def wanted(self, project: str) -> bool:
        """Whether the project wants masks before the first click from what would make them now."""
        when, proposing = self.when(project), self.proposing(project)
        return when == ALWAYS or (when == LEARNED and proposing is not None and proposing.learned)

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
        damage = "It has no files." if new is None else new.damage or new.click_damage or new.detector_damage
        if damage:
            raise RegistryError(f"The new version was not kept. {damage}")
        with locked(folder / ".lock"):
            if name != self.new_name(project):
                raise RegistryError(f"The next version of project {project} cannot be called {name[:40]!r}.")
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
            if _lines(folder / "FORWARD"):
                self._write(folder / "FORWARD", [])
        return replace(chosen, serving=True)

    def refuse(self, project: str, weights: Path, why: str) -> None:
        """A network of a version could not be loaded: in all worker processes it counts as damaged from now on.

        That holds until its files change, or another release looks at it, or one with another click network.

        Args:
            project: project id.
            weights: of the version, of its segmentation or of its click network.
            why: a sentence for a person.
        """
        folder = weights.parent
        if folder.parent != self._folder(project):
            return
        log.warning("Version %s of project %s cannot serve: %s", folder.name, project, why)
        note = {"manifest": _digest(manifest_path(weights)), "release": self._looked_at_by, "why": why}
        self._refused[weights] = note
        self._checked.pop(folder, None)
        try:
            write_atomically(folder / REFUSED[weights.name], (json.dumps(note, indent=2) + "\n").encode())
        except OSError as error:
            log.warning("That could not be written down: %s", error)

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
            self._write(folder / "FORWARD", [*_lines(folder / "FORWARD"), serving.name][-200:])
            self._write(folder / "CURRENT", history[-1:])
            self._write(folder / "HISTORY", history[:-1])
        return self.current(project)

    def after(self, project: str) -> Version | None:
        """The version that was rolled back from last and could serve again; None when there is none."""
        serving, folder = self.current(project), self._folder(project)
        names = reversed(_lines(folder / "FORWARD"))
        found = next(
            (n for n in names if (serving is None or n != serving.name) and self._is_intact(folder / n)), None
        )
        return None if found is None else self._read(folder / found)

    def go_forward(self, project: str) -> Version:
        """Take the last roll back back: what served then serves again.

        Raises:
            RegistryError: nothing was rolled back since a version was last activated, or it cannot serve.
        """
        folder, chosen = self._folder(project), self.after(project)
        if chosen is None:
            raise RegistryError(
                f"Nothing of project {project} was rolled back that could serve again: activate a version instead."
            )
        with locked(folder / ".lock"):
            forward = _lines(folder / "FORWARD")
            while forward and forward.pop() != chosen.name:
                pass
            self._write(folder / "HISTORY", [*_lines(folder / "HISTORY"), *_lines(folder / "CURRENT")][-200:])
            self._write(folder / "CURRENT", [chosen.name])
            self._write(folder / "FORWARD", forward)
        return replace(chosen, serving=True)

    def delete(self, project: str, name: str) -> None:
        """Take a version out; it can be brought back for `KEPT_S`.

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
            _purge(folder)
            os.utime(folder / name)  # the time of the deletion
            (folder / name).rename(
                folder / f"{_DELETED}{name}"
            )  # in one step: half a version would be a damaged one
            self._write(folder / "HISTORY", [kept for kept in _lines(folder / "HISTORY") if kept != name])

    def deleted(self, project: str) -> tuple[tuple[str, float], ...]:
        """(name, Unix seconds of the deletion) of the versions that can be brought back, the latest deletion first."""
        found = []
        for path in self._folder(project).glob(f"{_DELETED}v*"):
            at = path.stat().st_mtime
            if path.name.removeprefix(f"{_DELETED}v").isdecimal() and at > time.time() - KEPT_S:
                found.append((path.name.removeprefix(_DELETED), at))
        return tuple(sorted(found, key=lambda one: (-one[1], one[0])))

    def bring_back(self, project: str, name: str) -> Version:
        """A deleted version is there again; it does not serve.

        Raises:
            RegistryError: no version of that name was deleted in the last 30 days.
        """
        folder = self._folder(project)
        with locked(folder / ".lock"):
            if name not in {known for known, _ in self.deleted(project)}:
                raise RegistryError(f"Project {project} has no deleted version {name[:40]!r} to bring back.")
            (folder / f"{_DELETED}{name}").rename(folder / name)
        return self.get(project, name)

    # --- files

    @cached_property
    def _base(self) -> str:
        return self._given_base or str(read_manifest(self._click)["version"])

    @property
    def _looked_at_by(self) -> str:
        """Who found that a network cannot be loaded: behind another backbone, it may well be."""
        return f"{__version__} with {self._base}"

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
        files = [folder / WEIGHTS, folder / CLICKS, folder / DETECTOR]
        signature = _signature(
            *files, *map(manifest_path, files), *(folder / name for name in REFUSED.values())
        )
        known = self._checked.get(folder)
        if known is not None and known[0] == signature:
            return known[1]
        if not folder.is_dir():
            return None
        clicks = self._look_at(files[1], check_click) if manifest_path(files[1]).exists() else None
        if clicks is not None and clicks.manifest.get("alone") is True:  # the packaged network proposes
            found, clicks = clicks, None
        else:
            found = self._look_at(files[0], check_segmentation)
        detector = self._look_at(files[2], check_detector) if manifest_path(files[2]).exists() else None
        version = Version(
            folder.name,
            folder,
            float(found.manifest.get("created", folder.stat().st_mtime)),
            found.manifest.get("metrics", {}),
            found.manifest,
            serving=False,
            damage=found.damage,
            click_damage="" if clicks is None else clicks.damage,
            detector_damage="" if detector is None else detector.damage,
            parts=() if detector is None or detector.damage else _part_names(detector.manifest),
        )
        if not version.damage and not version.offers(version.source):
            lacking = f"Its masks come from {words_of_source(version.source)}, which it lacks."
            version = replace(version, damage=version.detector_damage or lacking)
        if all(looked is None or looked.lasts for looked in (found, clicks, detector)):
            self._checked[folder] = signature, version
        return version

    def _look_at(self, weights: Path, check: Callable[[Mapping[str, Any], str], None]) -> _Looked:
        """One network of a version: its manifest, and what is wrong with it."""
        manifest: dict[str, Any] = {}
        try:
            found = read_manifest(weights)
            check(found, f"version {weights.parent.name}")
            manifest = found
            read_checked(weights, manifest)
            return _Looked(manifest, self._refusal(weights), True)
        except CheckpointError as error:
            return _Looked(manifest, str(error), not isinstance(error, UnreadableError))

    def _refusal(self, weights: Path) -> str:
        """Why a network of a version could not be loaded; "" when it never failed as it is now."""
        try:
            note = json.loads((weights.parent / REFUSED[weights.name]).read_text("utf-8"))
        except (OSError, ValueError):
            note = self._refused.get(weights)
        current = {"manifest": _digest(manifest_path(weights)), "release": self._looked_at_by}
        if not isinstance(note, dict) or any(note.get(name) != value for name, value in current.items()):
            return ""
        return str(note.get("why", ""))

    def _write(self, path: Path, lines: Iterable[str]) -> None:
        write_atomically(path, "".join(f"{line}\n" for line in lines).encode())


def _purge(folder: Path) -> None:
    """Delete for good what was deleted longer than `KEPT_S` ago."""
    for path in folder.glob(f"{_DELETED}v*"):
        if path.stat().st_mtime < time.time() - KEPT_S:
            shutil.rmtree(path, ignore_errors=True)


def _part_names(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(part["name"]) for part in manifest["parts"])


def _digest(path: Path) -> str:
    """SHA-256 of a small file; "" when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


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
