"""How far the last export of a project's labels is, wherever it is written: any worker process tells it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

from adclick_backend.moments import is_within
from adclick_backend.store import Store

KEY = "label_export"  # in the project's key-value store
SILENCE_S = 1.0  # between two words about how far it is
STALE_S = 120.0  # one that has said nothing for so long ended with its process, or waits for its client


@dataclass(frozen=True)
class ExportState:
    """How the last export is or was.

    Attributes:
        sentence: for a person; "" when there was none.
        running: whether it goes on.
        at: when this was said, Unix seconds.
        uptime: the same by the clock of `ExportStates`, which nobody sets.
    """

    sentence: str = ""
    running: bool = False
    at: float = 0.0
    uptime: float = 0.0


class ExportStates:
    """Notes how exports stand; a full disk keeps no export from going on.

    Args:
        store: where it is written down.
        clock: seconds, the same for all workers; by default those of the database.
    """

    def __init__(self, store: Store, clock: Callable[[], float] | None = None) -> None:
        self._store, self._clock = store, clock or store.database.uptime

    def of(self, project: str) -> ExportState:
        """How the last export of a project stands."""
        kept = self._store.values.get(project, KEY)
        state = ExportState(**json.loads(kept)) if kept else ExportState()
        if state.running and not is_within(state.uptime, STALE_S, self._clock()):
            return ExportState("The last export was interrupted; nothing of it is kept here.", at=state.at)
        return state

    def say(self, project: str, sentence: str, *, running: bool) -> None:
        """Note a sentence."""
        state = ExportState(sentence, running, self._store.database.now(), self._clock())
        self._store.values.set_if_possible(project, KEY, json.dumps(asdict(state)))
