"""What each part of a request may take, on connections whose time a test makes pass."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from waitress import wasyncore
from waitress.server import create_server

from adclick_backend.deadline import LONG_ANSWER
from adclick_backend.web.lanes import Lanes
from adclick_backend.web.whole_requests import (
    BODY_BYTES_A_S,
    BODY_S,
    HEADER_S,
    IDLE_S,
    LEAD_BYTES,
    SENDING_BYTES,
    SENDING_S,
    WAITED,
    DeadlineChannel,
    close_slow,
)

HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
RECEIVING_BYTES = 1_000_000  # that the system takes in for a client, which it may double, and
SYSTEM_BYTES = 2 * RECEIVING_BYTES + 6_000_000  # with what it takes from the server to send


class Loop:
    """A server in this thread: it does something only when a test turns it."""

    def __init__(self) -> None:
        self.environs: list[dict[str, Any]] = []
        self.answer = b"hello"
        self.sockets: dict[int, Any] = {}
        self.lanes = Lanes(1)
        self.server = create_server(
            self._app,
            map=self.sockets,
            _dispatcher=self.lanes,
            host="127.0.0.1",
            port=0,
            max_request_body_size=2000,
        )
        self.server.channel_class = DeadlineChannel
        self.server.is_secure = lambda environ: False
        self.clients: list[socket.socket] = []
        self.now = time.monotonic()

    def _app(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.environs.append(environ)
        start_response("200 OK", [("Content-Length", str(len(self.answer)))])
        return [self.answer]

    def connect(self, sent: bytes = b"") -> socket.socket:
        client = socket.socket()
        self.clients.append(client)
        client.settimeout(5)
        # Before it connects: left alone, a system may take in 32 MB for a client that reads nothing.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVING_BYTES)
        client.connect(("127.0.0.1", int(self.server.effective_port)))
        client.sendall(sent)
        self.turn()
        return client

    def turn(self) -> None:
        for _ in range(10):
            wasyncore.loop(timeout=0.01, use_poll=True, map=self.sockets, count=1)

    def look(self, after_s: float = 0.0, most: int = 100, most_bytes: int = 10**9) -> int:
        """Let time pass and look for slow clients; the number of connections that are left."""
        self.now += after_s
        close_slow(self.channels, self.now, most=most, most_bytes=most_bytes)
        self.turn()
        return len(self.channels)

    @property
    def channels(self) -> list[DeadlineChannel]:
        return [one for one in self.sockets.values() if isinstance(one, DeadlineChannel)]

    def close(self) -> None:
        self.lanes.shutdown(timeout=5)
        for client in self.clients:
            client.close()
        wasyncore.close_all(self.sockets)


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def received(loop: Loop, client: socket.socket) -> bytes:
    """What a client is told before the connection ends."""
    client.settimeout(0.05)
    told = b""
    for _ in range(100):
        loop.turn()
        try:
            piece = client.recv(65536)
        except TimeoutError:
            continue
        except ConnectionResetError:
            return told
        if not piece:
            return told
        told += piece
    raise AssertionError(f"still open after {told!r}")


def drip(loop: Loop, client: socket.socket, piece: bytes, every_s: float, times: int) -> int:
    """Send `piece` now and then; how often it was taken before the connection was given up."""
    for number in range(times):
        if not loop.look(every_s):
            return number
        if loop.channels[0].requests:
            return number
        client.sendall(piece)
        loop.turn()
    return times


def test_a_client_that_says_nothing_is_let_go(loop: Loop) -> None:
    """Reliability row 30."""
    loop.connect()
    assert loop.look() == 1
    assert loop.look(HEADER_S - 1) == 1
    assert loop.look(2) == 0


def test_a_dripping_header_ends_at_its_deadline(loop: Loop) -> None:
    """Reliability row 30: however regularly another byte comes."""
    client = loop.connect(b"GET / HTTP/1.1\r\n")
    loop.look()
    assert drip(loop, client, b"X", 5.0, 20) < 6
    assert received(loop, client).startswith(b"HTTP/1.0 408")
    assert loop.environs == []


def test_a_dripping_body_ends_at_its_deadline(loop: Loop) -> None:
    """Reliability row 30."""
    client = loop.connect(HEAD)
    loop.look()
    assert drip(loop, client, b" ", 5.0, 100) < BODY_S / 5 + 2
    told = received(loop, client)
    assert told.startswith(b"HTTP/1.1 408")
    assert b"The body of the request did not arrive within 60 s." in told


def test_a_large_body_on_a_slow_line_has_more_time(loop: Loop) -> None:
    loop.connect(HEAD)
    loop.look()
    (channel,) = loop.channels
    channel.request.body_bytes_received = 100 * BODY_BYTES_A_S
    assert loop.look(BODY_S + 90) == 1
    assert channel.request is not None
    loop.look(20)
    assert channel.request is None


def test_a_kept_connection_waits_longer_than_a_new_one(loop: Loop) -> None:
    client = loop.connect(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    client.settimeout(5)
    while not loop.environs:
        loop.turn()
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    loop.turn()
    loop.look()
    assert loop.look(IDLE_S - 1) == 1
    assert loop.look(2) == 0


def test_a_client_that_does_not_take_its_answer_is_let_go(loop: Loop) -> None:
    """Reliability row 30: and no thread waits for it."""
    loop.answer = b"x" * 50_000_000
    client = loop.connect(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    deadline = time.monotonic() + 10
    while (loop.channels[0].requests or not loop.environs) and time.monotonic() < deadline:
        loop.turn()
    assert not loop.channels[0].requests  # the thread is done
    loop.look()
    assert loop.look(SENDING_S - 1) == 1
    assert loop.look(2) == 0
    client.close()


def test_a_long_answer_may_take_as_long_as_its_client_goes_on_taking_it(loop: Loop) -> None:
    """And waits for the client, a little ahead of it, so that a disk is not filled with what nobody takes."""
    pieces, ahead = 40, 0
    piece = b"x" * 4_000_000

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        nonlocal ahead
        environ[LONG_ANSWER]()
        start_response("200 OK", [])
        for _ in range(pieces):
            ahead += 1
            yield piece

    loop.server.application = app
    client = loop.connect(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    client.settimeout(5)
    taken = 0
    while taken < len(piece) * (pieces - 12):
        wanted = taken + SENDING_BYTES + 1_000_000
        while taken < wanted:
            loop.turn()
            taken += len(client.recv(4_000_000))
        # The server's lead ends with the piece that goes over it, and the next has been asked for.
        assert ahead * len(piece) <= taken + LEAD_BYTES + 2 * len(piece) + SYSTEM_BYTES
        assert loop.look(SENDING_S - 1) == 1
    loop.look()  # it stops taking now
    assert loop.look(SENDING_S - 1) == 1
    assert loop.look(2) == 0


def test_with_too_many_connections_the_oldest_unfinished_go(loop: Loop) -> None:
    """Reliability row 30."""
    for number in range(5):
        loop.connect(HEAD)
        loop.look(1.0)
        assert len(loop.channels) == number + 1
    assert loop.look(1.0, most=3) == 3
    loop.turn()
    assert loop.clients[4].getpeername()
    newest = {channel.addr[1] for channel in loop.channels}
    assert newest == {client.getsockname()[1] for client in loop.clients[2:]}


def test_unfinished_bodies_never_fill_the_memory(loop: Loop) -> None:
    """Reliability row 30."""
    for _ in range(4):
        loop.connect(HEAD + b" " * 900)
        loop.look(1.0)
    assert loop.look(1.0, most_bytes=2000) == 2


def test_an_app_knows_how_long_a_request_waited_for_a_thread(loop: Loop) -> None:
    loop.connect(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    while not loop.environs:
        loop.turn()
    assert 0 <= loop.environs[0][WAITED] < 5


@pytest.mark.parametrize("between", [b"1;", b"1\r\nx\r\n0\r\nA: "])
def test_what_stands_between_chunks_has_an_end(loop: Loop, between: bytes) -> None:
    """Reliability row 30: waitress keeps it in memory and copies it with every piece."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    loop.server.adj.max_request_body_size = 10**9
    client = loop.connect(head + between + b"a" * 20_000)
    assert received(loop, client).startswith(b"HTTP/1.1 400")
    assert loop.environs == []


def test_a_chunked_body_that_is_too_large_is_read_to_its_end(loop: Loop) -> None:
    """Reliability row 11: so that its client gets to see the answer."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    client = loop.connect(head + b"BB8\r\n" + b"x" * 3000 + b"\r\n")
    assert loop.environs == []
    client.sendall(b"2\r\nxx\r\n0\r\n")
    loop.turn()
    assert loop.environs == []
    client.sendall(b"\r\n")
    assert received(loop, client).startswith(b"HTTP/1.1 200")
    assert int(loop.environs[0]["CONTENT_LENGTH"]) > 3000
    assert loop.environs[0]["wsgi.input"].read() == b""


def test_a_body_that_is_too_large_is_thrown_away_and_the_app_told_its_size(loop: Loop) -> None:
    """Reliability row 11."""
    client = loop.connect(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n" + b"x" * 4000)
    assert loop.environs == []
    client.sendall(b"x" * 1000)
    assert received(loop, client).startswith(b"HTTP/1.1 200")
    assert loop.environs[0]["CONTENT_LENGTH"] == "5000"
    assert loop.environs[0]["wsgi.input"].read() == b""
