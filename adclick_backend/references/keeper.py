"""The thread that keeps the banks of references up to date."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from adclick_backend.engine.engine import Engine
from adclick_backend.locked_thread import LockedThread
from adclick_backend.references.check import BankCheck
from adclick_backend.references.collection import References
from adclick_backend.references.intake import ReferenceIntake
from adclick_backend.references.reading_back import ReadBack
from adclick_backend.references.syncing import LabelSyncs
from adclick_backend.store import DiskError, Store
from adclick_backend.store.backups import BackupError, back_up, is_due
from adclick_backend.store.files import Files
from adclick_backend.store.locks import Locks
from adclick_backend.store.removal import sweep_removed
from adclick_backend.store.tries import TryFiles

log = logging.getLogger(__name__)

LOCK = "references"
"""Held by the process that keeps the banks."""

SWEEP_S = 600.0

QUIET_S, LONGEST_S = 3.0, 30.0
"""Nobody waits for a measurement: an image is looked at when nobody has asked for anything for so long, and where
somebody always does, one in so many seconds."""


class ReferenceKeeper(LockedThread):
    """Works off what is written down about references, in a thread of its own that gives way to clicks.

    Nothing is held in memory: what is pending when the server stops is done after it starts again. Of several
    worker processes one does the work, the one that holds the lock; the others are ready to take over.

    Args:
        store: where the work is written down.
        references: the kept copies.
        intake: brings one reference into the bank.
        read_back: reads from Label Studio what messages named.
        check: compares the references of a bank with each other.
        measure: looks at one more image of those that say how far proposals can be trusted; False when there is none.
        syncs: begin by themselves some time after a start.
        engine: what another version of it encoded is encoded again; nothing is tried while it cannot be
            loaded.
        give_way: returns when no click is being answered.
        is_quiet: whether nobody has asked for anything for so many seconds.
        locks: where the lock is.
        files: what is too old in them is swept.
        poll_s: seconds between looks for work that another process wrote down.
    """

    def __init__(
        self,
        *,
        store: Store,
        references: References,
        intake: ReferenceIntake,
        read_back: ReadBack,
        check: BankCheck,
        measure: Callable[[], bool],
        syncs: LabelSyncs,
        engine: Engine,
        give_way: Callable[[], None],
        is_quiet: Callable[[float], bool],
        locks: Locks,
        files: Files,
        poll_s: float = 1.0,
    ) -> None:
        super().__init__("reference-keeper", locks, LOCK, poll_s)
        self._store = store
        self._references = references
        self._intake = intake
        self._read_back = read_back
        self._turn_of_messages = False
        self._check = check
        self._measure = measure
        self._syncs = syncs
        self._engine = engine
        self._give_way, self._is_quiet = give_way, is_quiet
        self._files = files
        self._swept = self._measured = time.monotonic()

    def step(self) -> bool:
        """Do one piece of work; False when there was none.

        References, for which a person waits, and what messages named take turns: a storm of messages keeps no reference
        waiting.
        """
        self._give_way()
        if self._store.disk.problem:  # nothing could be kept; it is looked at elsewhere
            return False
        if self._turn_of_messages and self._read_back.step():
            self._turn_of_messages = False
            return True
        self._turn_of_messages = True
        if self._engine.state != "failed":
            if reference := self._store.references.next_pending():
                self._intake.take_in(reference)
                return True
            if self._check.step(self._give_way) or self._measure_one():
                return True
        if time.monotonic() - self._swept > SWEEP_S:
            self._swept = time.monotonic()
            self._references.sweep()
            self._store.references.purge()
            self._store.labels.purge()
            TryFiles(self._files).sweep()
            sweep_removed(self._store.data_dir)
            self._back_up()
        self._syncs.start_due()
        return self._read_back.step()

    def _measure_one(self) -> bool:
        if not self._is_quiet(QUIET_S) and time.monotonic() - self._measured < LONGEST_S:
            return False
        found = self._measure()
        self._measured = time.monotonic()
        return found

    def _back_up(self) -> None:
        """Copy the database once a day; what keeps it from that is on the dashboard."""
        folder = self._store.data_dir
        if self._store.database.shared:  # whoever runs it copies it
            return
        try:
            if is_due(folder):
                log.info("%s holds the database as it is now.", back_up(folder))
        except BackupError as error:
            self._store.problems.add("", str(error))

    def _begin(self) -> None:
        self._safely(self._take_up)

    def _turn(self) -> bool:
        return self._safely(self.step)

    def _end(self, *, lost: bool) -> None:
        """Nothing is held in memory."""

    def _take_up(self) -> bool:
        """Take up what another model version encoded, what could not be fetched before, and 16-bit images."""
        self._syncs.plan_all()
        self._store.references.fetch_again()
        self._references.prepare_unmeasured()
        return (
            self._engine.state != "failed" and self._store.references.encode_again(self._engine.version) > 0
        )

    def _safely(self, work: Callable[[], bool]) -> bool:
        """What `work` answers; False when it fails, for the thread has to live on."""
        try:
            return work()
        except DiskError:  # it is said elsewhere, and tried again at the next turn
            return False
        except Exception:
            log.exception("The references could not be worked on")
            return False
