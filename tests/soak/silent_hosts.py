"""Image hosts that take every connection and never say a word."""

from __future__ import annotations

import socket
import threading
from types import TracebackType


class SilentHost:
    """Listens on a loopback port of its own; a context manager."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._taken: list[socket.socket] = []  # kept, for a closed connection would be an answer
        self._thread = threading.Thread(target=self._take, daemon=True)

    @property
    def netloc(self) -> str:
        """``host:port``, as the allow-list names it."""
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def asked(self) -> int:
        """Connections so far."""
        return len(self._taken)

    def __enter__(self) -> SilentHost:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._taken):
            connection.close()

    def _take(self) -> None:
        while True:
            try:
                self._taken.append(self._listener.accept()[0])
            except OSError:  # closed
                return
