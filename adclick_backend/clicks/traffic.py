"""Clicks being answered: background work waits for them, because a person does."""

from __future__ import annotations

import threading
from types import TracebackType


class ClickTraffic:
    """A context around each click; `give_way` waits while any is open."""

    def __init__(self) -> None:
        self._open = 0
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
            self._changed.notify_all()

    def give_way(self, timeout_s: float = 5.0) -> None:
        """Return when no click is being answered, or after `timeout_s` seconds, so that work goes on."""
        with self._changed:
            self._changed.wait_for(lambda: self._open == 0, timeout_s)
