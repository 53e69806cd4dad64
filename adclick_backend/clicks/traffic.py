"""What persons ask for: background work waits for it, because they do."""

from __future__ import annotations

import math
import threading
import time
from types import TracebackType


class ClickTraffic:
    """A context around each click, for which `give_way` waits; `is_quiet` knows of opened tasks as well."""

    def __init__(self) -> None:
        self._open = 0
        self._asked = -math.inf
        self._changed = threading.Condition()

    def __enter__(self) -> ClickTraffic:
        with self._changed:
            self._open += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._open -= 1
            self._asked = time.monotonic()
            self._changed.notify_all()

    def give_way(self, timeout_s: float = 5.0) -> None:
        """Return when no click is being answered, or after `timeout_s` seconds, so that work goes on."""
        with self._changed:
            self._changed.wait_for(lambda: self._open == 0, timeout_s)

    def opened(self) -> None:
        """Note that a task was opened; what is proposed for it gives way to clicks itself."""
        self._asked = time.monotonic()

    def is_quiet(self, for_s: float) -> bool:
        """Whether no click is being answered, and nobody has asked for anything for `for_s` seconds."""
        return self._open == 0 and time.monotonic() - self._asked >= for_s
