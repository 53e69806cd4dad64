"""Reading from a client within a time that it cannot stretch.

A timeout that starts anew with every byte never ends for a client that sends one byte now and then. So each part of a
request has a time for all of it.
"""

from __future__ import annotations

import io
import math
import socket
import time
from typing import Any

HEADER_BYTES = 128 * 2**10  # of a header, at most, with what is read ahead
HEADER_S = 20.0  # for the whole header, also for the first byte of a new connection
BODY_S = 60.0  # for a body, and
BODY_BYTES_A_S = 50_000  # so many bytes more for each further second
IDLE_S = 60.0  # until the header of the next request of a connection that is kept is there
SENDING_S = 300.0  # for the client to take the whole answer


class TimedSocket(io.RawIOBase):
    """What a connection receives.

    Args:
        connection: it; not closed with this.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until = 0.0
        self._room = 0.0

    def within(self, seconds: float, room: float = math.inf) -> None:
        """What is read from now on has to be there within so many seconds, and be no more bytes than `room`."""
        self._until, self._room = time.monotonic() + seconds, room

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes, 0 at the end; raises TimeoutError, and ConnectionAbortedError for too many of them."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self._room <= 0:
            raise ConnectionAbortedError("too many bytes")
        self._connection.settimeout(left)
        taken = self._connection.recv_into(buffer)
        self._room -= taken
        return taken
