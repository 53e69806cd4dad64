"""Clients that send a request byte by byte: half of them its headers, half of them its body."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from urllib.parse import urlsplit

PAUSE_S = 0.5  # between two bytes of a client


class SlowClients:
    """Drips into a server until it is stopped; who is hung up on calls again.

    Args:
        url: of the server.
        count: how many at a time.
        auth: user and password; a request without them would be refused before its body is read.
    """

    def __init__(self, url: str, count: int, auth: tuple[str, str]) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        basic = base64.b64encode(":".join(auth).encode()).decode()
        head = f"POST /predict HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Basic {basic}\r\n"
        full = f"{head}Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{{"
        self._openings = [head.encode() + b"X-Slow: ", full.encode()]
        self._count = count
        self._stop = threading.Event()
        self.calls = 0

    @contextmanager
    def dripping(self) -> Iterator[None]:
        """All of them are there inside the block."""
        thread = threading.Thread(target=self._drip, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(30)

    def _drip(self) -> None:
        connections: list[socket.socket | None] = [None] * self._count
        openings = cycle(self._openings)
        order = [next(openings) for _ in connections]
        while not self._stop.wait(PAUSE_S):
            for i, connection in enumerate(connections):
                connections[i] = self._one_more_byte(connection) or self._call(order[i])
        for connection in connections:
            if connection is not None:
                connection.close()

    def _one_more_byte(self, connection: socket.socket | None) -> socket.socket | None:
        """The connection; None when there is none any more."""
        if connection is None:
            return None
        try:
            connection.send(b" ")
            connection.setblocking(False)
            if connection.recv(1000) == b"":
                raise ConnectionError
        except BlockingIOError:
            connection.settimeout(1)
            return connection  # nothing was said, as it should be
        except OSError:
            connection.close()
            return None
        connection.settimeout(1)
        return connection

    def _call(self, opening: bytes) -> socket.socket | None:
        try:
            connection = socket.create_connection(self._address, timeout=1)
            connection.sendall(opening)
        except OSError:
            return None
        self.calls += 1
        return connection
