"""A web server on loopback that does what a test tells it to and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple


class Request(NamedTuple):
    method: str
    path: str  # with the query
    headers: Message
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes | Iterable[bytes] = b""  # an iterable is sent piece by piece, without a Content-Length
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, content: object, status: int = 200) -> Reply:
        return cls(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    @classmethod
    def redirect(cls, location: str, status: int = 302) -> Reply:
        return cls(status, headers={"Location": location})


class LocalServer:
    """Context manager; ``answer`` maps a request to a reply, anything else is a 404."""

    def __init__(self, answer: Callable[[Request], Reply | None]) -> None:
        self.requests: list[Request] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def reply(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.command, self.path, self.headers, body)
                server.requests.append(request)
                try:
                    self.send(answer(request) or Reply(404))
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the client has had enough

            def send(self, reply: Reply) -> None:
                self.send_response(reply.status)
                whole = isinstance(reply.body, bytes)
                if whole and "Content-Length" not in reply.headers:
                    self.send_header("Content-Length", str(len(reply.body)))  # type: ignore[arg-type]
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in [reply.body] if whole else reply.body:
                    self.wfile.write(piece)  # type: ignore[arg-type]
                    self.wfile.flush()

            do_GET = do_POST = do_PATCH = do_DELETE = reply

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self.http.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def __enter__(self) -> LocalServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.shutdown()
        self.http.server_close()
        self._thread.join()
