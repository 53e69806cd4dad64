"""The versions that trainings brought forth, on disk: publish, activate, roll back, delete, and undo. No torch here."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

from adclick_backend import __version__
from adclick_backend.errors import FilesError
from adclick_backend.store import DiskError, project_id, proposal_source
from adclick_backend.store.database import KEPT_S
from adclick_backend.store.operating_points import FILE as POINTS
from adclick_backend.store.operating_points import UNTRAINED, PointsNote, read_points
from adclick_backend.store.point_curves import CurveFiles
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
from adclick_backend.store.shelves import FolderShelf, Shelf
from adclick_backend.store.version import Version
from adclick_backend.store.version_reading import REFUSED, VersionReader
from model.checkpoint.manifest import PACKAGED, read_manifest

log = logging.getLogger(__name__)

_UNTRAINED = (proposal_source.PACKAGED, RESIDUAL)  # sources that need no version


class RegistryError(RuntimeError):
    """A version cannot be used as asked; the message says why and what to do."""


class Registry:
    """The versions of all projects, on a `Shelf`.

    ``CURRENT`` names the version that serves, ``HISTORY`` those that served before it, the latest last, ``FORWARD``
    those that were rolled back from since one was last activated, and ``LAST`` is the highest number that a deleted
    version may have had, so that no name is given twice. Each is replaced in one step, and every worker process looks
    at ``CURRENT`` before it answers: a switch is seen at once, by all, on other machines within a second. A deleted
    version stays for `KEPT_S`, and goes when the next one is published or deleted after that.

    Args:
        data_dir: data folder of the backend.
        base: version of the click network, which the names of trained versions begin with; by default that of
            ``click``.
        click: its checkpoint.
        shared: gives what proposes for projects that nothing was trained for, after the version of its detectors, ""
            when it has none.
        shelf: where versions stand; those of ``data_dir`` by default.
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
        shelf: Shelf | None = None,
    ) -> None:
        self._shelf, self._shared = shelf or FolderShelf(data_dir), shared
        self._given_base, self._click = base, click
        self._reader = VersionReader(lambda: f"{__version__} with {self._base}")

    # --- reading

    def list(self, project: str) -> list[Version]:
        """Every version of the project, the newest first, damaged ones included."""
        serving = self.current(project)
        names = self._shelf.names(project)
        found = [version for name in names if (version := self._read(project, name)) is not None]
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
        for name in (
            *_lines(self._shelf, project, "CURRENT"),
            *reversed(_lines(self._shelf, project, "HISTORY")),
        ):
            version = self._read(project, name)
            if version is not None and not version.damage:
                return replace(version, serving=True)
        return None

    def fallen(self, project: str) -> Version | None:
        """The version that somebody chose and that cannot serve, so that another does; None when it serves."""
        for name in _lines(self._shelf, project, "CURRENT"):
            version = self._read(project, name)
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
        points = read_points(self.points(project, None), source.name)
        return source.at(points) if points or choice in _UNTRAINED else None

    def shared_source(self, project: str) -> ProposalSource:
        """:meth:`proposing`, where that is None what every project gets that nothing was trained for."""
        return self.proposing(project) or self._shared()[1]

    def points(self, project: str, version: Version | None) -> PointsNote:
        """Where the operating points of a version are kept; None: of what proposes before any training."""
        return self._points(project, UNTRAINED if version is None else version.name)

    def _points(self, project: str, place: str) -> PointsNote:
        name = f"{place}/{POINTS}"
        return PointsNote(partial(self._shelf.note, project, name), partial(self._shelf.write, project, name))

    def curve(self, project: str, version: Version | None, source: str) -> CurveFiles:
        """Where what was measured of a version is kept; None: of what proposes before any training."""
        return self._shelf.curve(project, UNTRAINED if version is None else version.name, source)

    def changing(self, project: str) -> AbstractContextManager[None]:
        """Keeps everybody else from changing which versions a project has, which serves, and its operating points."""
        return self._shelf.changing(project)

    def look_again(self, project: str) -> None:
        """Let what is asked next be as it is now, also what another machine has just changed."""
        self._shelf.look_again(project)

    def choice(self, project: str) -> str:
        """The source of masks that somebody chose for the project; `AUTOMATIC` for the one that was measured best."""
        return next(iter(_lines(self._shelf, project, "SOURCE")), AUTOMATIC)

    def choose(self, project: str, source: str) -> None:
        """Let masks before the first click come from one source, in all worker processes.

        Args:
            project: project id.
            source: its name, or `AUTOMATIC`.

        Raises:
            RegistryError: neither the version that serves nor the package has it.
        """
        version = self.current(project)
        proposing = self._proposing(project, version, source)
        if source != AUTOMATIC and (proposing is None or proposing.name != source):
            who = f"version {version.name}" if version else "the packaged networks"
            raise RegistryError(
                f"Masks cannot come from {words_of_source(source[:60])}: {who} of project {project} cannot make them. "
                "Choose another source, or train first."
            )
        with self._shelf.changing(project):
            self._write(project, "SOURCE", [source] if source else [])

    def when(self, project: str) -> str:
        """When the project wants masks before the first click, one of `WHEN`."""
        said = next(iter(_lines(self._shelf, project, "PROPOSALS")), ALWAYS)
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
        with self._shelf.changing(project):
            self._write(project, "PROPOSALS", [] if when == ALWAYS else [when])

    def wanted(self, project: str) -> bool:
        """Whether the project wants masks before the first click from what would make them now."""
        when, proposing = self.when(project), self.proposing(project)
        return when == ALWAYS or (when == LEARNED and proposing is not None and proposing.learned)

    def full_name(self, project: str, name: str) -> str:
        """The name of a version that is unique among all projects."""
        return f"{self._base}+p{project_id(project)}-{name}"

    def new_name(self, project: str) -> str:
        """The name that the next version gets; no deleted version had it."""
        numbers = [int(name[1:]) for name in self._shelf.names(project)]
        return f"v{max([*numbers, *map(int, _lines(self._shelf, project, 'LAST'))], default=0) + 1}"

    # --- changing

    def publish(self, project: str, candidate: Path, name: str) -> Version:
        """Take a copy of a candidate's folder among the versions; it does not serve yet.

        A crash at any moment leaves either no version of that name or all of it.

        Raises:
            RegistryError: the name is taken, or the candidate's files are damaged.
            OSError: the disk is full, or cannot be written.
        """
        new = self._reader.read(candidate, candidate.name)
        damage = "It has no files." if new is None else new.damage or new.click_damage or new.detector_damage
        if damage:
            raise RegistryError(f"The new version was not kept. {damage}")
        with self._shelf.changing(project):
            if name != self.new_name(project):
                raise RegistryError(f"The next version of project {project} cannot be called {name[:40]!r}.")
            self._shelf.add(project, name, candidate)
        return self.get(project, name)

    def activate(self, project: str, name: str) -> Version:
        """From now on this version serves, in all worker processes.

        Raises:
            RegistryError: there is no such version, or its files are damaged.
        """
        chosen = self.get(project, name)
        if chosen.damage:
            raise RegistryError(f"Version {name} cannot serve: {chosen.damage} Choose another one.")
        with self._shelf.changing(project):
            before = _lines(self._shelf, project, "CURRENT")
            if before != [name]:
                self._write(project, "HISTORY", [*_lines(self._shelf, project, "HISTORY"), *before][-200:])
                self._write(project, "CURRENT", [name])
            if _lines(self._shelf, project, "FORWARD"):
                self._write(project, "FORWARD", [])
        return replace(chosen, serving=True)

    def refuse(self, project: str, weights: Path, why: str) -> None:
        """A network of a version could not be loaded: in all worker processes it counts as damaged from now on.

        That holds until its files change, or another release looks at it, or one with another click network.

        Args:
            project: project id.
            weights: of the version, of its segmentation or of its click network.
            why: a sentence for a person.
        """
        name = self._shelf.name_of(project, weights.parent)
        if not name:
            return
        log.warning("Version %s of project %s cannot serve: %s", name, project, why)
        note = self._reader.refuse(weights, why)
        try:
            with self._shelf.changing(project):
                told = json.dumps(note, indent=2) + "\n"
                self._shelf.write(project, f"{name}/{REFUSED[weights.name]}", told)
        except (OSError, DiskError) as error:
            log.warning("That could not be written down: %s", error)

    def before(self, project: str) -> Version | None:
        """The version that a roll back would let serve; None when that is the packaged network."""
        serving = self.current(project)
        if serving is None:
            return None
        names = reversed(_lines(self._shelf, project, "HISTORY"))
        found = next((n for n in names if n != serving.name and self._is_intact(project, n)), None)
        return None if found is None else self._read(project, found)

    def roll_back(self, project: str) -> Version | None:
        """The version that served before serves again; None when that is the packaged click network alone.

        Raises:
            RegistryError: no trained version serves.
        """
        serving = self.current(project)
        if serving is None:
            raise RegistryError(
                f"No trained version serves project {project}: there is nothing to roll back."
            )
        with self._shelf.changing(project):
            history = _lines(self._shelf, project, "HISTORY")
            while history and (history[-1] == serving.name or not self._is_intact(project, history[-1])):
                history.pop()
            self._write(project, "FORWARD", [*_lines(self._shelf, project, "FORWARD"), serving.name][-200:])
            self._write(project, "CURRENT", history[-1:])
            self._write(project, "HISTORY", history[:-1])
        return self.current(project)

    def after(self, project: str) -> Version | None:
        """The version that was rolled back from last and could serve again; None when there is none."""
        serving = self.current(project)
        names = reversed(_lines(self._shelf, project, "FORWARD"))
        found = next(
            (n for n in names if (serving is None or n != serving.name) and self._is_intact(project, n)), None
        )
        return None if found is None else self._read(project, found)

    def go_forward(self, project: str) -> Version:
        """Take the last roll back back: what served then serves again.

        Raises:
            RegistryError: nothing was rolled back since a version was last activated, or it cannot serve.
        """
        chosen = self.after(project)
        if chosen is None:
            raise RegistryError(
                f"Nothing of project {project} was rolled back that could serve again: activate a version instead."
            )
        with self._shelf.changing(project):
            forward = _lines(self._shelf, project, "FORWARD")
            while forward and forward.pop() != chosen.name:
                pass
            history = [*_lines(self._shelf, project, "HISTORY"), *_lines(self._shelf, project, "CURRENT")]
            self._write(project, "HISTORY", history[-200:])
            self._write(project, "CURRENT", [chosen.name])
            self._write(project, "FORWARD", forward)
        return replace(chosen, serving=True)

    def delete(self, project: str, name: str) -> None:
        """Take a version out; it can be brought back for `KEPT_S`.

        Raises:
            RegistryError: it serves, or there is no such version.
        """
        if self.get(project, name).serving:
            raise RegistryError(
                f"Version {name} serves project {project}: activate another version or roll back first."
            )
        with self._shelf.changing(project):
            number = self.new_name(project)[1:]
            self._write(project, "LAST", [str(int(number) - 1)])
            self._shelf.set_aside(project, name)
            self._write(
                project, "HISTORY", [kept for kept in _lines(self._shelf, project, "HISTORY") if kept != name]
            )

    def deleted(self, project: str) -> tuple[tuple[str, float], ...]:
        """(name, Unix seconds of the deletion) of the versions that can be brought back, the latest deletion first."""
        found = [
            (name, at)
            for name, at in self._shelf.deleted(project)
            if name[1:].isdecimal() and at > time.time() - KEPT_S
        ]
        return tuple(sorted(found, key=lambda one: (-one[1], one[0])))

    def bring_back(self, project: str, name: str) -> Version:
        """A deleted version is there again; it does not serve.

        Raises:
            RegistryError: no version of that name was deleted in the last 30 days.
        """
        with self._shelf.changing(project):
            if name not in {known for known, _ in self.deleted(project)}:
                raise RegistryError(f"Project {project} has no deleted version {name[:40]!r} to bring back.")
            self._shelf.take_back(project, name)
        return self.get(project, name)

    # --- files

    @cached_property
    def _base(self) -> str:
        return self._given_base or str(read_manifest(self._click)["version"])

    def _is_intact(self, project: str, name: str) -> bool:
        version = self._read(project, name)
        return version is not None and not version.damage

    def _read(self, project: str, name: str) -> Version | None:
        """The version of that name; one that cannot be fetched now is damaged for now."""
        try:
            folder = self._shelf.folder(project, name)
        except FilesError as error:
            lost = Path(f"{project}-{name}")
            return Version(name, lost, 0.0, {}, {}, serving=False, damage=str(error))
        refusals = [self._shelf.note(project, f"{name}/{note}") for note in REFUSED.values()]
        found = self._reader.read(folder, name, dict(zip(REFUSED, refusals, strict=True)))
        return None if found is None else replace(found, points=self._points(project, name))

    def _write(self, project: str, name: str, lines: Iterable[str]) -> None:
        self._shelf.write(project, name, "".join(f"{line}\n" for line in lines))


def _lines(shelf: Shelf, project: str, name: str) -> list[str]:
    """The lines of a note; none when it is not there."""
    return shelf.note(project, name).split()
