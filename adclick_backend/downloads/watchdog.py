"""A deadline for a whole connection.

A socket's timeout starts anew with every byte that arrives, so a server that sends one byte a second is never
too slow for it. A watchdog shuts the socket at the deadline, whatever is being waited for: the handshake, the
headers or the body.
"""

from __future__ import annotations

import socket
import threading
import time
from contextvars import ContextVar, Token
from types import TracebackType

watching: ContextVar[Watchdog | None] = ContextVar("watching", default=None)
"""The watchdog of the block that this thread is in, for sockets that others open."""


class Watchdog:
    """Context in which every watched socket is shut when ``seconds`` are over."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._before: Token[Watchdog | None] | None = None
        self.seconds = seconds
        self.received = 0  # bytes of a body, counted by whoever reads it
        self._timer = threading.Timer(seconds, self._shut)
        self._timer.daemon = True
        self.expired = False

    def __enter__(self) -> Watchdog:
        self._timer.start()
        self._before = watching.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._before is not None:
            watching.reset(self._before)

    def remaining(self) -> float:
        """Seconds left; raises TimeoutError when there are none."""
        self.check()
        return max(self._deadline - time.monotonic(), 0.001)

    def check(self) -> None:
        """Raise TimeoutError after the deadline."""
        if self.expired:
            raise TimeoutError("the time is over")

    def watch(self, sock: socket.socket) -> None:
        """Make this the socket that is shut at the deadline; raises TimeoutError after it."""
        with self._lock:
            self._socket = sock
            sock.settimeout(self.remaining() + 1.0)  # later than the watchdog, which knows the reason

    def _shut(self) -> None:
        with self._lock:
            self.expired = True
            if self._socket is not None:
                try:
                    # SSLSocket.shutdown would take the session from under the thread that is reading it.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                except OSError:  # closed already
                    return
