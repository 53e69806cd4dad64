"""Requests read whole before a thread is spent on them, within a time that no client can stretch.

A timeout that starts anew with every byte never ends for a client that sends one byte now and then. So each part of a
request has a time for all of it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from copy import copy
from typing import Any

from waitress.channel import HTTPChannel  # type: ignore[import-untyped]
from waitress.parser import HTTPRequestParser  # type: ignore[import-untyped]
from waitress.task import WSGITask  # type: ignore[import-untyped]
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge  # type: ignore[import-untyped]

from adclick_backend.deadline import LONG_ANSWER

log = logging.getLogger(__name__)

WAITED = "adclick.waited"
"""In the WSGI environ: seconds that the request waited for a thread."""

HEADER_S = 20.0  # for the whole header, also for the first byte of a new connection
BODY_S = 60.0  # for a body, and
BODY_BYTES_A_S = 50_000  # so many bytes more for each further second
IDLE_S = 60.0  # until the next request of a connection that is kept
SENDING_S = 300.0  # for the client to take the whole answer, or the next
SENDING_BYTES = 15_000_000  # bytes of a long one, such as an export
LEAD_BYTES = 32 * 2**20  # that a long answer is ahead of its client, at most
IN_MEMORY = 4 * 2**20  # bytes of a body; the rest is a temporary file, so a full disk stops no ordinary click
_BETWEEN_CHUNKS = 16 * 2**10  # bytes
_LAST_CHUNK = b"0\r\n\r\n"
_UNREAD = 2**30  # bytes of a body that is too large which are thrown away, so that the client sees the answer


class TooSlow(Error):  # type: ignore[misc]
    """408."""

    code = 408
    reason = "Request Timeout"


class _Nowhere:
    """A buffer that keeps nothing."""

    def __init__(self) -> None:
        self._length = 0

    def append(self, data: bytes) -> None:
        self._length += len(data)

    def __len__(self) -> int:
        return self._length

    def close(self) -> None:
        return


class WholeRequest(HTTPRequestParser):  # type: ignore[misc]
    """A request being read; one whose body is too large is handed on without it, for the app to say so."""

    too_large = False
    _end = b""  # of what was skipped
    body_rcv: Any
    error: Any
    expect_continue: bool

    def received(self, data: bytes) -> int:
        """Take in what came; the number of bytes that belong to this request."""
        if self.too_large and self.chunked:
            return self._skip(data)
        taken: int = super().received(data)
        if isinstance(self.error, RequestEntityTooLarge):
            self._leave_out()
            self._end = data[-len(_LAST_CHUNK) :]
        elif self.chunked and self.body_rcv is not None:
            between = max(len(self.body_rcv.control_line), len(self.body_rcv.trailer))
            if (
                between > _BETWEEN_CHUNKS
            ):  # waitress would go on adding to them, for as long as somebody sends
                self.error, self.completed = BadRequest("What stands between the chunks is too long."), True
        return taken

    def get_body_stream(self) -> Any:
        """The body from its beginning; nothing of one that is too large."""
        if self.too_large:
            self.body_rcv = None
        return super().get_body_stream()

    def _skip(self, data: bytes) -> int:
        """Look for the end of a chunked body, which nobody reads any more."""
        self.body_bytes_received += len(data)
        self._end = (self._end + data)[-len(_LAST_CHUNK) :]
        self.completed = self._end == _LAST_CHUNK or self.body_bytes_received > _UNREAD
        self.headers["CONTENT_LENGTH"] = str(self.body_bytes_received)
        return len(data)

    def _leave_out(self) -> None:
        body = self.body_rcv
        if not self.too_large:
            self.too_large = True
            body.getbuf().close()
            body.buf = _Nowhere()
            self.headers["CONNECTION"] = "close"
        # A client that waits for "100 Continue" has not sent it, and shall not.
        over = body.completed or self.body_bytes_received > _UNREAD or self.content_length > _UNREAD
        self.completed = bool(over or body.error or self.expect_continue)
        self.error, self.expect_continue = body.error, False
        # Chunks have no length before they are all there; what is known is more than the limit.
        self.headers["CONTENT_LENGTH"] = str(max(self.content_length, self.body_bytes_received))


class _Task(WSGITask):  # type: ignore[misc]
    """An app's answer to a request."""

    def get_environment(self) -> dict[str, Any]:
        """The WSGI environ."""
        environ: dict[str, Any] = super().get_environment()
        environ[WAITED] = time.monotonic() - self.channel.arrived
        environ[LONG_ANSWER] = self.channel.wait_for_client
        if self.channel.server.is_secure(environ):
            environ["wsgi.url_scheme"] = "https"
        return environ


class DeadlineChannel(HTTPChannel):  # type: ignore[misc]
    """A connection; `look` ends it when its client is too slow."""

    parser_class = WholeRequest
    task_class = _Task
    request: Any  # that is being read
    adj: Any  # the settings of the server

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.arrived = self.since = time.monotonic()  # the last whole request; the state that it is in
        self._served = False
        self._sent = 0  # bytes, of all answers
        self._state: tuple[str, object] = ("header", None)

    @property
    def unfinished_bytes(self) -> int:
        """Bytes in memory of a request that is still arriving."""
        request = self.request
        return 0 if request is None else min(request.body_bytes_received, IN_MEMORY)

    @property
    def is_unasked(self) -> bool:
        """Whether no whole request waits for its answer, nor an answer for its client."""
        return not self.requests and not self.total_outbufs_len

    def wait_for_client(self) -> None:
        """From now on the thread that answers waits when it is `LEAD_BYTES` ahead of what the client has taken."""
        self.adj = copy(self.adj)
        self.adj.outbuf_high_watermark = LEAD_BYTES

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Send some of an answer; the number of bytes that went."""
        sent: int = super().send(data, do_close)
        self._sent += sent
        return sent

    def received(self, data: bytes) -> bool:
        """Take in what the client sent."""
        asked = bool(self.requests)
        taken: bool = super().received(data)
        if self.requests and not asked:
            self.arrived, self._served = time.monotonic(), True
        return taken

    def look(self, now: float) -> str:
        """What the client was too slow with, "" while it is in time; ends the connection in the first case.

        Args:
            now: seconds that never run backwards.
        """
        state, limit = self._state_and_limit()
        if state != self._state:
            self._state, self.since = state, now
        if now - self.since <= limit:
            return ""
        if state[0] in ("header", "body") and self.request is not None:
            self._refuse(f"The {state[0]} of the request did not arrive within {limit:.0f} s.")
        else:
            self.handle_close()
        return state[0]

    def handle_close(self) -> None:
        """Close at once; only waiting to become writable, waitress would wait for a client that is gone."""
        request, self.request = self.request, None
        if request is not None:
            request.close()
        super().handle_close()

    def _state_and_limit(self) -> tuple[tuple[str, object], float]:
        request = self.request
        if self.total_outbufs_len:
            return ("answer", self._sent // SENDING_BYTES), SENDING_S
        if self.requests or self.will_close or self.close_when_flushed:
            return ("asked", None), float("inf")
        if request is None:
            return ("next request", None), IDLE_S if self._served else HEADER_S
        if not request.headers_finished:
            return ("header", request), HEADER_S
        return ("body", request), BODY_S + request.body_bytes_received / BODY_BYTES_A_S

    def _refuse(self, reason: str) -> None:
        with self.requests_lock:
            request, self.request = self.request, None
            if not request.headers_finished:
                request.parse_header(b"GET / HTTP/1.0\r\n")
            request.error = TooSlow(reason)
            self.requests.append(request)
        self.server.add_task(self)


def close_slow(channels: Iterable[DeadlineChannel], now: float, *, most: int, most_bytes: int) -> None:
    """End what is too slow; when there is too much of it, also what has been unfinished for longest.

    Args:
        channels: all connections.
        now: seconds that never run backwards.
        most: connections that are kept.
        most_bytes: bytes in memory of requests that are still arriving.
    """
    kept, slow = [], 0
    for channel in channels:
        late = channel.look(now)
        slow += late in ("header", "body", "answer")
        if not late:
            kept.append(channel)
    held, count = sum(channel.unfinished_bytes for channel in kept), len(kept)
    for channel in sorted((one for one in kept if one.is_unasked), key=lambda one: one.since):
        if count <= most and held <= most_bytes:
            break
        held, count, slow = held - channel.unfinished_bytes, count - 1, slow + 1
        channel.handle_close()
    if slow:
        log.warning("%d connections were closed: their requests or answers went on for too long.", slow)
