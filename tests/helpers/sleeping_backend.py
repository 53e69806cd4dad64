"""``python -m tests.helpers.sleeping_backend serve``: a backend whose network sleeps as long as the real one computes.

So many backends on one machine are as quick as each is on a machine of its own; everything but the network is real.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from adclick_backend import services
from adclick_backend.cli import main
from adclick_backend.engine.bank import ImageKey, ReferenceBank
from adclick_backend.engine.click_answers import Segmentation
from adclick_backend.settings import Settings
from adclick_backend.store.proposal_source import ProposalSource
from adclick_runtime.regions import Proposals
from tests.helpers.fake_engine import FakeEngine, Pixels

OPEN_S = float(os.environ.get("SLEEPING_OPEN_S", "0.74"))
CLICK_S = float(os.environ.get("SLEEPING_CLICK_S", "0.08"))


class SleepingEngine(FakeEngine):
    """Opens one image at a time, and answers one click at a time, beside it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._opening, self._clicking = threading.Lock(), threading.Lock()

    def prepare(self, key: ImageKey, bank: ReferenceBank, load: Callable[[], Pixels]) -> dict[str, float]:
        """Sleeps for the first look at an image in this process; one that is open waits for nobody."""
        if not self.is_prepared(key, bank):
            with self._opening:
                if not self.is_prepared(key, bank):
                    time.sleep(OPEN_S)
        return super().prepare(key, bank, load)

    def propose(
        self,
        key: ImageKey,
        bank: ReferenceBank,
        load: Callable[[], Pixels],
        asked: ProposalSource | None = None,
    ) -> Proposals:
        self.prepare(key, bank, load)
        return super().propose(key, bank, load, asked)

    def click(
        self, key: ImageKey, bank: ReferenceBank, load: Callable[[], Pixels], *rest: Any, **named: Any
    ) -> Segmentation:
        self.prepare(key, bank, load)
        with self._clicking:
            time.sleep(CLICK_S)
        return super().click(key, bank, load, *rest, **named)

    def unlike(
        self, key: ImageKey, bank: ReferenceBank, load: Callable[[], Pixels], asked: ProposalSource | None
    ) -> float:
        """No image is unlike its references, whichever process encoded them."""
        return 0.0


def run(arguments: Sequence[str]) -> int:
    """``adclick`` with arguments, and with that engine."""
    services.Engine = SleepingEngine  # type: ignore[misc,assignment]
    return main(list(arguments))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
