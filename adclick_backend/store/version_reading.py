"""What is known of a version in a folder: its manifests, and what is wrong with its networks. No torch here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from adclick_backend.store.proposal_source import words_of_source
from adclick_backend.store.version import CLICKS, DETECTOR, WEIGHTS, Version
from model.checkpoint.described import check_click, check_detector, check_segmentation
from model.checkpoint.manifest import (
    CheckpointError,
    UnreadableError,
    manifest_path,
    read_checked,
    read_manifest,
)

REFUSED = {WEIGHTS: "refused.json", CLICKS: "click-refused.json", DETECTOR: "detector-refused.json"}
"""Beside weights of a version that could not be loaded: by which release, and why."""

FileSignature = tuple[tuple[int, int, int], ...]


class _Looked(NamedTuple):
    """What is known of one network of a version: its manifest, what is wrong, and whether that stays so."""

    manifest: dict[str, Any]
    damage: str
    lasts: bool


class VersionReader:
    """Reads versions, and reads their weights again only when a file changed.

    Args:
        release: which release, behind which click network, looks: a network that one cannot load, another may.
    """

    def __init__(self, release: Callable[[], str]) -> None:
        self._release = release
        self._read: dict[Path, tuple[tuple[object, ...], Version]] = {}
        self._refused: dict[Path, dict[str, str]] = {}  # what could not be written down, on a full disk say

    def read(
        self, folder: Path, name: str, refusals: Mapping[str, str] = MappingProxyType({})
    ) -> Version | None:
        """The version in a folder; None when there is no folder.

        Args:
            folder: of the version.
            name: of the version.
            refusals: file name of weights -> what is written down of why they could not be loaded.
        """
        weights, clicks, detector = folder / WEIGHTS, folder / CLICKS, folder / DETECTOR
        files = (weights, clicks, detector)
        signature = (*_signature(*files, *map(manifest_path, files)), *refusals.values())
        known = self._read.get(folder)
        if known is not None and known[0] == signature:
            return known[1]
        if not folder.is_dir():
            return None

        def look(weights: Path, check: Callable[[Mapping[str, Any], str], None]) -> _Looked:
            return self._look_at(weights, name, check, refusals.get(weights.name, ""))

        clicking = look(clicks, check_click) if manifest_path(clicks).exists() else None
        if clicking is not None and clicking.manifest.get("alone") is True:  # the packaged network proposes
            found, clicking = clicking, None
        else:
            found = look(weights, check_segmentation)
        detecting = look(detector, check_detector) if manifest_path(detector).exists() else None
        version = Version(
            name,
            folder,
            float(found.manifest.get("created", folder.stat().st_mtime)),
            found.manifest.get("metrics", {}),
            found.manifest,
            serving=False,
            damage=found.damage,
            click_damage="" if clicking is None else clicking.damage,
            detector_damage="" if detecting is None else detecting.damage,
            parts=() if detecting is None or detecting.damage else _part_names(detecting.manifest),
        )
        if not version.damage and not version.offers(version.source):
            lacking = f"Its masks come from {words_of_source(version.source)}, which it lacks."
            version = replace(version, damage=version.detector_damage or lacking)
        if all(looked is None or looked.lasts for looked in (found, clicking, detecting)):
            self._read[folder] = signature, version
        return version

    def refuse(self, weights: Path, why: str) -> dict[str, str]:
        """Count a network as damaged from now on; returns what is to be written down for others.

        Args:
            weights: of the network.
            why: it could not be loaded, a sentence.
        """
        note = {**self._now(weights), "why": why}
        self._refused[weights] = note
        self._read.pop(weights.parent, None)
        return note

    def _look_at(
        self, weights: Path, name: str, check: Callable[[Mapping[str, Any], str], None], refusal: str
    ) -> _Looked:
        """One network of a version: its manifest, and what is wrong with it."""
        manifest: dict[str, Any] = {}
        try:
            found = read_manifest(weights)
            check(found, f"version {name}")
            manifest = found
            read_checked(weights, manifest)
            return _Looked(manifest, self._refusal(weights, refusal), True)
        except CheckpointError as error:
            return _Looked(manifest, str(error), not isinstance(error, UnreadableError))

    def _refusal(self, weights: Path, written: str) -> str:
        """Why a network of a version could not be loaded; "" when it never failed as it is now."""
        try:
            note = json.loads(written)
        except ValueError:
            note = self._refused.get(weights)
        if not isinstance(note, dict) or any(note.get(k) != v for k, v in self._now(weights).items()):
            return ""
        return str(note.get("why", ""))

    def _now(self, weights: Path) -> dict[str, str]:
        """As what a refusal holds: of these files, for this release."""
        return {"manifest": _digest(manifest_path(weights)), "release": self._release()}


def _part_names(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(part["name"]) for part in manifest["parts"])


def _digest(path: Path) -> str:
    """SHA-256 of a small file; "" when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _signature(*paths: Path) -> FileSignature:
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
