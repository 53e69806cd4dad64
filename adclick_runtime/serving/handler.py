"""One connection of the detector's server: requests in, JSON out."""

from __future__ import annotations

import io
import json
import logging
import re
import secrets
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from adclick_runtime.detection_json import as_json
from adclick_runtime.errors import ApiError, BundleError, ImageError
from adclick_runtime.images import limits
from adclick_runtime.serving import metrics
from adclick_runtime.serving.admission import LaterError
from adclick_runtime.serving.multipart import file_of
from adclick_runtime.serving.shared import Shared
from adclick_runtime.serving.timed_socket import (
    BODY_BYTES_A_S,
    BODY_S,
    HEADER_BYTES,
    HEADER_S,
    IDLE_S,
    SENDING_S,
    TimedSocket,
)

log = logging.getLogger(__name__)

ROUTES = {"/detect": "POST", "/health": "GET", "/metrics": "GET"}
_FORM = 64 * 2**10  # bytes of a request beside its image: what a form writes around it
_GIVEN_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_UNREAD = 2**30  # bytes of a body that is not taken which are thrown away, so that the client sees the answer
_UNREAD_S = 10.0


class Answer(NamedTuple):
    """What a request gets."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after the other, in a thread of its own.

    Args:
        shared: what all connections share.
        connection: as `socketserver` makes a handler: the socket, the client's address, the server.
    """

    protocol_version = "HTTP/1.1"
    server_version = "ADClick"
    sys_version = ""

    def __init__(self, shared: Shared, *connection: Any) -> None:
        self._shared = shared
        super().__init__(*connection)

    def setup(self) -> None:
        """Called once a connection."""
        super().setup()
        self._incoming = TimedSocket(self.connection)
        self.rfile = io.BufferedReader(self._incoming, 2**16)
        self._limit = HEADER_S

    def handle_one_request(self) -> None:
        """Wait for a request and answer it."""
        self._incoming.within(self._limit, HEADER_BYTES)
        self._limit = IDLE_S
        super().handle_one_request()

    def handle_expect_100(self) -> bool:
        """Nothing yet: the client goes on once the header is found to be right."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Called where the request line or the header is wrong."""
        self.close_connection = True
        self.request_id = secrets.token_hex(6)
        sentence = f"The request cannot be read: {message or HTTPStatus(code).phrase}."
        self._send(_error(ApiError(code, "bad_request", sentence), self.request_id))

    def log_message(self, format: str, *args: Any) -> None:
        """Left out: `_answered` says more."""

    def _answered(self) -> None:
        started = time.perf_counter()
        given = self.headers.get("X-Request-ID", "")
        self.request_id = given if _GIVEN_ID.fullmatch(given) else secrets.token_hex(6)
        self._left = self._length()
        path = urlsplit(self.path).path
        with self._shared.answering(self.connection):
            try:
                answer = self._answer(path)
            except ApiError as error:
                answer = _error(error, self.request_id, ROUTES.get(path, ""))
            except (ConnectionError, TimeoutError):
                raise
            except Exception:
                log.exception("[%s] %s %s failed", self.request_id, self.command, path)
                sentence = "Something went wrong inside the detector; its log says what."
                answer = _error(ApiError(500, "internal", sentence), self.request_id)
            self.close_connection = self.close_connection or self._left > 0 or self._shared.stopping
            self._send(answer)
            if self._left > 0:
                self._throw_away()
        known = ROUTES.get(path) == self.command
        self._shared.metrics.request(path if known else "", self.command if known else "", answer.status)
        took = (time.perf_counter() - started) * 1000
        level = logging.INFO if path == "/detect" or answer.status >= 400 else logging.DEBUG
        log.log(level, "[%s] %s %.200s %d %.0f ms", self.request_id, self.command, path, answer.status, took)

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = _answered

    def _answer(self, path: str) -> Answer:
        shared = self._shared
        shared.names.check(self.headers.get("Host", "localhost"))
        if path != "/health":
            self._authenticate()
        if path not in ROUTES:
            raise ApiError(404, "not_found", f"There is no {path[:200]} here; there are {', '.join(ROUTES)}.")
        if self.command != ROUTES[path]:
            raise ApiError(405, "method_not_allowed", f"{path} is asked with {ROUTES[path]}.")
        if path == "/health":
            return _json({"status": "UP", **shared.described})
        if path == "/metrics":
            return Answer(200, shared.metrics.exposition().encode(), metrics.CONTENT_TYPE)
        return self._detect()

    def _authenticate(self) -> None:
        header, address = self.headers.get("Authorization"), str(self.client_address[0])
        auth, right = self._shared.auth, self._shared.auth.allows(header)
        if header and auth.required and (seconds := self._shared.attempts.take(address, right=right)):
            sentence = f"Too many wrong passwords came from {address}; try again in {seconds} s."
            raise LaterError(429, "too_many_attempts", sentence, seconds)
        if not right:
            raise ApiError(401, "unauthorized", "User or password of the detector are missing or wrong.")

    def _detect(self) -> Answer:
        shared, size = self._shared, self._left
        product = parse_qs(urlsplit(self.path).query).get("product", [None])[0]
        if "Transfer-Encoding" in self.headers or "Content-Length" not in self.headers:
            sentence = "Send the image whole, with a Content-Length; in pieces it is not taken."
            raise ApiError(411, "length_required", sentence)
        is_form = self.headers.get_content_type() == "multipart/form-data"
        try:
            limits.check_bytes(max(0, size - is_form * _FORM), shared.settings.max_image_mb)
        except ImageError as error:
            raise ApiError(413, "too_large", str(error)) from error
        with shared.admission.place(size):
            body = self._body(size)
            data = file_of(body, self.headers["Content-Type"]) if is_form else body
            with shared.admission.turn():
                return _json(self._looked_at(data, product))

    def _looked_at(self, data: bytes, product: str | None) -> dict[str, Any]:
        looker, counted = self._shared.looker, self._shared.metrics
        try:
            started = time.perf_counter()
            pixels = looker.read(data, product)
            counted.took("decode", time.perf_counter() - started)
        except ImageError as error:
            counted.image("refused")
            raise ApiError(400, "bad_image", str(error)) from error
        except BundleError as error:
            raise ApiError(400, "unknown_product", str(error), "product") from error
        found = looker.look(pixels, product)
        counted.took("detect", found.milliseconds / 1000)
        counted.image("defect" if found.regions else "nothing")
        return as_json(found, version=looker.version, product=product or "")

    def _length(self) -> int:
        """What the header says of the body; chunked ones have an unknown length, and are not taken."""
        if "Transfer-Encoding" in self.headers:
            return _UNREAD
        try:
            return max(0, int(self.headers.get("Content-Length", 0)))
        except ValueError:
            return _UNREAD

    def _body(self, size: int) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        limit = BODY_S + size / BODY_BYTES_A_S
        self._incoming.within(limit)
        try:
            body = self.rfile.read(size)
        except TimeoutError:
            raise ApiError(
                408, "too_slow", f"The image did not arrive as a whole within {limit:.0f} s."
            ) from None
        if len(body) < size:
            raise ConnectionResetError("The client is gone.")
        self._left = 0
        return body

    def _throw_away(self) -> None:
        """Read what nobody asked for, within limits: a connection that is closed before loses the answer."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            return
        self._incoming.within(_UNREAD_S)
        left = min(self._left, _UNREAD)
        try:
            while left > 0 and (piece := self.rfile.read1(2**16)):
                left -= len(piece)
        except (TimeoutError, ConnectionError):
            return

    def _send(self, answer: Answer) -> None:
        self.connection.settimeout(SENDING_S)
        self.send_response_only(answer.status)
        for name, value in (
            ("Content-Type", answer.content_type),
            ("Content-Length", str(len(answer.body))),
            ("X-Request-ID", self.request_id),
            ("X-Content-Type-Options", "nosniff"),
            *answer.headers,
            *((("Connection", "close"),) if self.close_connection else ()),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)


def _json(content: dict[str, Any], status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return Answer(status, json.dumps(content, ensure_ascii=False).encode() + b"\n", headers=headers)


def _error(error: ApiError, request_id: str, allowed: str = "") -> Answer:
    """What is wrong, as an answer; `allowed` is the method that the route has."""
    headers: list[tuple[str, str]] = []
    if isinstance(error, LaterError):
        headers.append(("Retry-After", str(error.seconds)))
    if error.status == 401:
        headers.append(("WWW-Authenticate", 'Basic realm="ADClick", charset="UTF-8"'))
    if error.status == 405:
        headers.append(("Allow", allowed))
    said = {"code": error.code, "message": error.message, "request_id": request_id}
    if error.field:
        said["field"] = error.field
    return _json({"error": said}, error.status, tuple(headers))
