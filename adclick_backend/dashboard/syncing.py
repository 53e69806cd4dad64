"""Synchronising labels at the press of a button: in a thread, while the page tells how far it is."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import asdict, dataclass

from adclick_backend.labels.sync import sync
from adclick_backend.services import Services

log = logging.getLogger(__name__)

KEY = "label_sync"  # in the project's key-value store, so that every worker process tells the same
STALE_S = 60.0  # a synchronisation that has said nothing for so long ended with its process
SILENCE_S = 1.0  # between two words about how far it is


@dataclass(frozen=True)
class SyncState:
    """How the last synchronisation of a project is or was."""

    sentence: str = "Never synchronised by hand; a training does it by itself."
    running: bool = False
    at: float = 0.0  # Unix seconds, when this was said


class LabelSyncs:
    """Runs at most one synchronisation of each project."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._starting = threading.Lock()

    def state(self, project: str) -> SyncState:
        """How the project's synchronisation stands."""
        kept = self._services.store.values.get(project, KEY)
        state = SyncState(**json.loads(kept)) if kept else SyncState()
        if state.running and time.time() - state.at > STALE_S:
            return SyncState(
                "The last synchronisation was interrupted; what it had read is kept.", at=state.at
            )
        return state

    def start(self, project: str) -> threading.Thread | None:
        """Begin, unless one is going on; the thread that does the work."""
        with self._starting:
            if self.state(project).running:
                return None
            self._say(project, "Asking Label Studio.", running=True)
        thread = threading.Thread(target=self._run, args=(project,), name="label-sync", daemon=True)
        thread.start()
        return thread

    def _run(self, project: str) -> None:
        said = 0.0

        def progress(share: float) -> None:
            nonlocal said
            if time.monotonic() - said >= SILENCE_S:
                said = time.monotonic()
                self._say(project, f"{100 * share:.0f} % of the labelled images are here.", running=True)

        try:
            services = self._services
            problem = sync(project, services.labels, services.store, services.connections, progress)
            sentence = problem or "All labels that Label Studio has are here."
        except Exception:
            log.exception("The labels of project %s could not be synchronised", project)
            sentence = "The synchronisation failed; the log of the backend says why. Labels that were known are kept."
        self._say(project, sentence, running=False)

    def _say(self, project: str, sentence: str, *, running: bool) -> None:
        state = SyncState(sentence, running, time.time())
        self._services.store.values.set(project, KEY, json.dumps(asdict(state)))
