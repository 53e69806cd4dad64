"""What labelling cost in clicks, version by version."""

from __future__ import annotations

from collections.abc import Sequence

from adclick_backend.dashboard.figures import words_of
from adclick_backend.report.page import Effort
from adclick_backend.store import Store
from adclick_backend.store.version import Version

SHOWN = ("iou", "ap")
"""Figures of a version's own comparison."""


def efforts(project: str, store: Store, versions: Sequence[Version]) -> list[Effort]:
    """Clicks in accepted masks when each version was trained, and how it did then; the oldest version first.

    Versions without figures are left out, and all when no click was ever accepted.
    """
    spent = store.answers.accepted_clicks(project)
    points = []
    for version in sorted(versions, key=lambda v: v.created):
        clicks = sum(count for answered, count in spent if answered <= version.created)
        found = {
            words_of(key): float(value)
            for key in SHOWN
            if isinstance(value := version.metrics.get(key), int | float)
        }
        if found:
            points.append(Effort(version.name, clicks, found))
    return points if any(point.clicks for point in points) else []
