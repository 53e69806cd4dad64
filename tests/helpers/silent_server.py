"""A server on loopback that takes every connection and never says a word."""

from __future__ import annotations

import socket
import threading
from types import TracebackType


class SilentServer:
    """Context manager; leaving it ends all connections.

    Attributes:
        connections: every one that was ever taken, for a closed connection would be an answer.
        most_at_once: how many of them the other side had open at one time.
    """

    def __init__(self) -> None:
        self.connections: list[socket.socket] = []
        self.most_at_once = 0
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
            self.most_at_once = max(self.most_at_once, sum(map(_is_open, self.connections)))

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


def _is_open(connection: socket.socket) -> bool:
    """Whether the other side still waits for an answer; reads what it has sent."""
    try:
        while connection.recv(65536, socket.MSG_DONTWAIT):
            pass
    except BlockingIOError:
        return True
    except OSError:  # reset
        return False
    return False
