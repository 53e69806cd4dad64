"""What all connections of the detector's server share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import SHUT_RD, SHUT_RDWR
from typing import Any

from adclick_runtime.looking import Looker
from adclick_runtime.serving.admission import Admission
from adclick_runtime.serving.attempts import Attempts
from adclick_runtime.serving.auth import BasicAuth
from adclick_runtime.serving.metrics import Metrics
from adclick_runtime.serving.names import ServedNames
from adclick_runtime.serving.settings import Settings

AT_A_TIME = 2
"""Images: one is decoded, or written down, while the detector looks at another one; it looks at one at a time."""

_MOST_FILES = 4
"""So many files of the largest size are held in memory at a time, at most."""


class Shared:
    """The detector, who may call, what is counted, and which connections there are.

    Args:
        settings: the limits, and who may call.
        looker: what is served.
        described: what ``/health`` says besides.

    Attributes:
        stopping: whether the server takes no more requests.
    """

    def __init__(self, settings: Settings, looker: Looker, described: dict[str, Any]) -> None:
        self.settings, self.looker, self.described = settings, looker, described
        self.auth = BasicAuth(settings.basic_auth_user, settings.basic_auth_pass)
        self.attempts, self.names = Attempts(), ServedNames(settings.served_as)
        self.admission = Admission(AT_A_TIME, _MOST_FILES * settings.max_image_mb * 1_000_000)
        self.metrics = Metrics(lambda: self.admission.placed)
        self.stopping = False
        self._lock = threading.Lock()
        self._connections: dict[Any, None] = {}  # in the order in which they asked for something last
        self._busy: set[Any] = set()

    @property
    def unanswered(self) -> int:
        """Requests that have arrived and wait for their answers."""
        return len(self._busy)

    def enter(self, connection: Any, most: int) -> bool:
        """Take in a connection; beyond `most`, the one that has been asking for nothing for longest has to go.

        Returns False where all of them wait for answers.
        """
        with self._lock:
            if len(self._connections) >= most:
                idle = next((one for one in self._connections if one not in self._busy), None)
                if idle is None:
                    return False
                del self._connections[idle]
                with suppress(OSError):
                    idle.shutdown(SHUT_RDWR)
            self._connections[connection] = None
            return True

    def leave(self, connection: Any) -> None:
        """A connection is over."""
        with self._lock:
            self._connections.pop(connection, None)

    def end_idle(self) -> None:
        """End the connections that ask for nothing."""
        with self._lock:
            for connection in self._connections.keys() - self._busy:
                with suppress(OSError):
                    connection.shutdown(SHUT_RD)

    @contextmanager
    def answering(self, connection: Any) -> Iterator[None]:
        """The time in which a connection has a request that waits for its answer."""
        with self._lock:
            self._busy.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(connection)
                if connection in self._connections:
                    self._connections[connection] = self._connections.pop(connection)
