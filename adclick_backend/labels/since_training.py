"""Labels that came after the last training had read them: nothing has learned from those yet."""

from __future__ import annotations

from adclick_backend.store import Store

_KEY = "labels_learned_until"


def note_learned(store: Store, project: str, until: float) -> None:
    """A training went well that had read the labels as they were at that time (Unix seconds)."""
    store.values.set(project, _KEY, repr(until))


def labels_since_training(store: Store, project: str) -> int:
    """Images labelled, or labelled anew, since the last training that went well read the labels.

    0 before any training: then all of them are new, and nobody needs to be told.
    """
    until = store.values.get(project, _KEY)
    return store.labels.changed_since(project, float(until)) if until else 0
