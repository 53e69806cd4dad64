"""The operating points that a person chose for a version, and those chosen before: a small file beside its weights."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adclick_runtime.operating_points import checked_points
from model.checkpoint.atomic import write_atomically

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


def read_points(folder: Path, source: str) -> dict[str, float]:
    """The operating points in force: what proposals, bundles and detections are cut with.

    Args:
        folder: of a version, or `UNTRAINED` among the versions.
        source: what the maps come from; a point says nothing about the maps of another source.

    Returns:
        Defect type -> probability, sorted by type; empty where nobody chose any.
    """
    return _chosen(_read(folder), source)[-1]


def points_before(folder: Path, source: str) -> dict[str, float] | None:
    """The points that :func:`undo_points` would bring back; None when there is nothing to take back."""
    chosen = _chosen(_read(folder), source)
    return chosen[-2] if len(chosen) > 1 else None


def point_changes(folder: Path) -> list[PointChange]:
    """Every change of the points of a version, the latest first."""
    found = [
        PointChange(source, dict(one["points"]), float(one["at"]), bool(one["undone"]))
        for source, of_source in _read(folder).items()
        for one in of_source["log"]
    ]
    return sorted(found, key=lambda change: -change.at)


def choose_points(folder: Path, source: str, points: Mapping[str, float]) -> None:
    """Let these points be in force; see :func:`read_points`. The caller holds the lock of the versions.

    Raises:
        PointError: a point is no probability that can be used.
        OSError: the file cannot be written; the points before stay in force.
    """
    checked, kept = checked_points(points), _read(folder)
    if checked != _chosen(kept, source)[-1]:
        _write(folder, kept, source, [*_chosen(kept, source), checked], undone=False)


def undo_points(folder: Path, source: str) -> dict[str, float]:
    """Bring back the points that were in force before, and return them. The caller holds the lock of the versions.

    Raises:
        LookupError: there is nothing to take back.
        OSError: the file cannot be written; the points stay in force.
    """
    kept = _read(folder)
    chosen = _chosen(kept, source)[:-1]
    if not chosen:
        raise LookupError("No threshold was chosen that could be taken back.")
    _write(folder, kept, source, chosen, undone=True)
    return chosen[-1]


def _chosen(kept: Mapping[str, Any], source: str) -> list[dict[str, float]]:
    """What was chosen one after the other, the calibrated points first."""
    return [{}, *(checked_points(points) for points in kept.get(source, {}).get("chosen", ()))]


def _read(folder: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads((folder / FILE).read_text("utf-8"))
        if not isinstance(found, dict):
            raise TypeError("it holds no object")
        for source in found:
            _chosen(found, source)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        log.warning("%s cannot be read, so the calibrated thresholds are used: %s", folder / FILE, error)
        return {}
    return found


def _write(
    folder: Path, kept: dict[str, Any], source: str, chosen: list[dict[str, float]], *, undone: bool
) -> None:
    change = {"at": time.time(), "points": chosen[-1], "undone": undone}
    changes = [*kept.get(source, {}).get("log", ()), change]
    kept[source] = {"chosen": chosen[1:][-_KEPT:], "log": changes[-_LOGGED:]}
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / FILE, (json.dumps(kept, indent=2, ensure_ascii=False) + "\n").encode())
