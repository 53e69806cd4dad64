"""The operating points that a person chose for a version, and those chosen before: a small file beside its weights."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adclick_runtime.operating_points import checked_points

log = logging.getLogger(__name__)

FILE = "operating-points.json"

UNTRAINED = "untrained"
"""Folder among the versions that has what was chosen for a project without any."""

_KEPT, _LOGGED = 100, 200  # choices that can be taken back, and changes that are told, of one source


@dataclass(frozen=True)
class PointChange:
    """One change of the operating points.

    Attributes:
        source: of the maps that the points are for.
        points: defect type -> probability, from then on; without those at the calibrated one.
        at: Unix seconds.
        undone: whether it took an earlier change back.
    """

    source: str
    points: dict[str, float]
    at: float
    undone: bool


@dataclass(frozen=True)
class PointsNote:
    """Where the operating points of a version are written down, as text.

    Attributes:
        read: the text; "" when there is none.
        write: replaces it in one step; raises OSError.
    """

    read: Callable[[], str]
    write: Callable[[str], None]


NO_NOTE = PointsNote(lambda: "", lambda text: None)
"""Of what nobody chose a point for."""


def read_points(note: PointsNote, source: str) -> dict[str, float]:
    """The operating points in force: what proposals, bundles and detections are cut with.

    Args:
        note: of a version, or of what proposes before any training.
        source: what the maps come from; a point says nothing about the maps of another source.

    Returns:
        Defect type -> probability, sorted by type; empty where nobody chose any.
    """
    return _chosen(_read(note), source)[-1]


def points_before(note: PointsNote, source: str) -> dict[str, float] | None:
    """The points that :func:`undo_points` would bring back; None when there is nothing to take back."""
    chosen = _chosen(_read(note), source)
    return chosen[-2] if len(chosen) > 1 else None


def point_changes(note: PointsNote) -> list[PointChange]:
    """Every change of the points of a version, the latest first."""
    found = [
        PointChange(source, dict(one["points"]), float(one["at"]), bool(one["undone"]))
        for source, of_source in _read(note).items()
        for one in of_source["log"]
    ]
    return sorted(found, key=lambda change: -change.at)


def choose_points(note: PointsNote, source: str, points: Mapping[str, float]) -> None:
    """Let these points be in force; see :func:`read_points`. The caller holds the lock of the versions.

    Raises:
        PointError: a point is no probability that can be used.
        OSError: the file cannot be written; the points before stay in force.
    """
    checked, kept = checked_points(points), _read(note)
    if checked != _chosen(kept, source)[-1]:
        _write(note, kept, source, [*_chosen(kept, source), checked], undone=False)


def undo_points(note: PointsNote, source: str) -> dict[str, float]:
    """Bring back the points that were in force before, and return them. The caller holds the lock of the versions.

    Raises:
        LookupError: there is nothing to take back.
        OSError: the file cannot be written; the points stay in force.
    """
    kept = _read(note)
    chosen = _chosen(kept, source)[:-1]
    if not chosen:
        raise LookupError("No threshold was chosen that could be taken back.")
    _write(note, kept, source, chosen, undone=True)
    return chosen[-1]


def _chosen(kept: Mapping[str, Any], source: str) -> list[dict[str, float]]:
    """What was chosen one after the other, the calibrated points first."""
    return [{}, *(checked_points(points) for points in kept.get(source, {}).get("chosen", ()))]


def _read(note: PointsNote) -> dict[str, Any]:
    text = note.read()
    if not text:
        return {}
    try:
        found: Any = json.loads(text)
        if not isinstance(found, dict):
            raise TypeError("it holds no object")
        for source in found:
            _chosen(found, source)
    except (ValueError, TypeError, AttributeError) as error:
        log.warning("%s cannot be read, so the calibrated thresholds are used: %s", FILE, error)
        return {}
    return found


def _write(
    note: PointsNote, kept: dict[str, Any], source: str, chosen: list[dict[str, float]], *, undone: bool
) -> None:
    change = {"at": time.time(), "points": chosen[-1], "undone": undone}
    changes = [*kept.get(source, {}).get("log", ()), change]
    kept[source] = {"chosen": chosen[1:][-_KEPT:], "log": changes[-_LOGGED:]}
    note.write(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
