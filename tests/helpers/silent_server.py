"""A server on loopback that takes every connection and never says a word."""

from __future__ import annotations

import socket
import threading
from types import TracebackType


class SilentServer:
    """Context manager; leaving it ends all connections."""

    def __init__(self) -> None:
        self.connections: list[socket.socket] = []  # kept, for a closed connection would be an answer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._thread = threading.Thread(target=self._take, daemon=True)

    @property
    def netloc(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.netloc}"

    def _take(self) -> None:
        while True:
            try:
                self.connections.append(self._listener.accept()[0])
            except OSError:
                return

    def __enter__(self) -> SilentServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()
        for connection in self.connections:
            connection.close()
