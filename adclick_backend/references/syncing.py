"""Synchronising labels and references with Label Studio, in a thread: at the press of a button, and by itself."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from adclick_backend.images.connections import Connections
from adclick_backend.labels.mirror import Labels
from adclick_backend.labels.sync import sync
from adclick_backend.moments import has_come, is_within
from adclick_backend.references.collection import References
from adclick_backend.store import DiskError, Store
from adclick_backend.store.disk import stops_writing

log = logging.getLogger(__name__)

KEY = "label_sync"  # in the project's key-value store, so that every worker process tells the same
STALE_S = 60.0  # a synchronisation that has said nothing for so long ended with its process
SILENCE_S = 1.0  # between two words about how far it is

DUE = "label_sync_due"  # in the same store: when a synchronisation begins by itself, Unix seconds
AFTER_START_S = 60.0
AFTER_CONNECT_S = 20.0
AFTER_MISSING_S = 5.0
FRESH_S = 6 * 3600.0  # what was synchronised since then is not synchronised again because of a connect
RETRY_S = 600.0  # after Label Studio could not be read
REST_S = 60.0  # between two that messages ask for
FARTHEST_S = max(AFTER_START_S, AFTER_CONNECT_S, AFTER_MISSING_S, RETRY_S, REST_S)


@dataclass(frozen=True)
class SyncState:
    """How the last synchronisation of a project is or was."""

    sentence: str = "Never synchronised by hand; a training does it by itself."
    running: bool = False
    at: float = 0.0  # Unix seconds, when this was said
    failed: bool = False
    uptime: float = 0.0  # the same by the clock of `LabelSyncs`, which nobody sets


class LabelSyncs:
    """Runs at most one synchronisation of each project.

    Some time after a start and after a connect it begins one by itself: what was annotated while nobody listened is
    found then.

    Args:
        store: where it is written down how they stand.
        labels: the copy of what was annotated.
        references: follow what the labels say.
        connections: to Label Studio.
        on_change: told when references changed.
        give_way: returns when no click is being answered.
        clock: seconds, the same for all workers; by default those of the database.
    """

    def __init__(
        self,
        store: Store,
        labels: Labels,
        references: References,
        connections: Connections,
        on_change: Callable[[], object],
        give_way: Callable[[], None],
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._store = store
        self._labels = labels
        self._references = references
        self._connections = connections
        self._on_change = on_change
        self._give_way = give_way
        self._clock = clock or store.database.uptime
        self._starting = threading.Lock()
        self._missed: set[str] = set()

    def state(self, project: str) -> SyncState:
        """How the project's synchronisation stands."""
        kept = self._store.values.get(project, KEY)
        state = SyncState(**json.loads(kept)) if kept else SyncState()
        if state.running and not is_within(state.uptime, STALE_S, self._clock()):
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

    def plan_all(self) -> None:
        """The backend has just started: every project is synchronised in a while."""
        for project in self._store.projects.all():
            self._plan(project.id, AFTER_START_S)

    def plan(self, project: str) -> None:
        """The project was connected: it is synchronised in a while, unless that was done lately."""
        state = self.state(project)
        if not state.running and not is_within(state.at, FRESH_S, self._store.database.now()):
            try:
                self._plan(project, AFTER_CONNECT_S)
            except DiskError:
                self.miss(project)

    def miss(self, project: str) -> None:
        """Something that Label Studio said of the project could not be written down: it is read when that is over."""
        with self._starting:
            self._missed.add(project)

    def plan_missed(self) -> None:
        """The data folder can be written again: read what was missed; raises DiskError when it cannot after all."""
        for project in sorted(self._missed):
            self._plan(project, AFTER_MISSING_S)
            self._missed.discard(project)

    def ask(self, project: str) -> None:
        """Messages named more than is read task by task: the project is synchronised soon, and not ever again.

        One that is going on may have passed what they named, so another follows it.
        """
        self._plan(project, max(0.0, self.state(project).at + REST_S - self._store.database.now()))

    def try_later(self, project: str) -> None:
        """Label Studio could not be read: the project is synchronised in a while."""
        self._plan(project, RETRY_S)

    def start_due(self) -> None:
        """Begin what is due."""
        for project in self._store.projects.all():
            due = self._store.values.get(project.id, DUE)
            now = self._store.database.now()
            if not due or not has_come(float(due), FARTHEST_S, now) or self.state(project.id).running:
                continue
            if self._is_reachable(project.id):
                self._store.values.set(project.id, DUE, "")
                try:
                    self.start(project.id)
                except DiskError:
                    self.miss(project.id)
                    raise

    def _plan(self, project: str, seconds: float) -> None:
        """It is due in so many seconds, or earlier if it already was."""
        due = self._store.database.now() + seconds
        if due < float(self._store.values.get(project, DUE) or "inf"):
            self._store.values.set(project, DUE, str(due))

    def _is_reachable(self, project: str) -> bool:
        return bool(self._connections.label_studio(project).url)

    def _run(self, project: str) -> None:
        said = 0.0

        def progress(share: float) -> None:
            nonlocal said
            if time.monotonic() - said >= SILENCE_S:
                said = time.monotonic()
                self._say(project, f"{100 * share:.0f} % of the labelled images are here.", running=True)

        try:
            problem = sync(project, self._labels, self._store, self._connections, progress, self._give_way)
            if self._references.follow(project, self._labels):
                self._on_change()
            sentence, failed = problem or "All labels that Label Studio has are here.", bool(problem)
        except Exception as error:
            if stops_writing(error):
                self.miss(project)
                self._store.disk.failed(error)
            log.exception("The labels of project %s could not be synchronised", project)
            failed = True
            sentence = "The synchronisation failed; the log of the backend says why. Labels that were known are kept."
        self._say(project, sentence, running=False, failed=failed)
        if failed:
            self.try_later(project)

    def _say(self, project: str, sentence: str, *, running: bool, failed: bool = False) -> None:
        state = json.dumps(
            asdict(SyncState(sentence, running, self._store.database.now(), failed, self._clock()))
        )
        if running:
            self._store.values.set(project, KEY, state)
        else:  # nobody waits for a thread that has ended; its silence says the same after a while
            self._store.values.set_if_possible(project, KEY, state)
