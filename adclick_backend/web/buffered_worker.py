"""A gunicorn worker that reads requests whole before it spends a thread on them: waitress under gunicorn's master.

gunicorn's own threaded worker gives a thread to a connection as soon as its first bytes arrive, so a few clients that
send half a request stop it for good. Here one loop reads all connections, and :mod:`.lanes` answers what is whole.

``gunicorn --worker-class adclick_backend.web.buffered_worker.BufferedWorker adclick_backend._wsgi:app``
"""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress
from typing import Any

from gunicorn.workers.base import Worker  # type: ignore[import-untyped]
from waitress import wasyncore  # type: ignore[import-untyped]
from waitress.server import BaseWSGIServer, create_server  # type: ignore[import-untyped]

from adclick_backend.web.lanes import Lanes
from adclick_backend.web.whole_requests import IDLE_S, IN_MEMORY, SENDING_S, DeadlineChannel, close_slow

_CONNECTIONS = 4096
_UNFINISHED_BYTES = 256 * 2**20  # in memory, of all requests that are still arriving
_TICK_S = 1.0
_SPARE_S = 10.0  # of gunicorn's graceful timeout, for ending the background threads


class BufferedWorker(Worker):  # type: ignore[misc]
    """Serves the sockets that gunicorn's master listens on; no TLS, no access log, no ``max_requests``."""

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Called by gunicorn before it starts workers."""
        if cfg.is_ssl:
            raise SystemExit("This server speaks no TLS: put a proxy in front of it that does.")

    def run(self) -> None:
        """Serve until the master says to stop, or is gone."""
        sockets: dict[int, Any] = {}
        lanes = Lanes(self.cfg.threads, os.environ.get("SCRIPT_NAME", ""))
        most = self._serve(sockets, lanes)
        _Wake(self.PIPE[0], sockets)  # signals
        self._watch_master(sockets)
        while self.alive and self.ppid == os.getppid():
            self._turn(sockets, most)
        if self.alive:
            self.log.warning("gunicorn's master is gone; this worker ends.")
        self._finish(sockets, most)
        lanes.shutdown(timeout=0.5)

    def _serve(self, sockets: dict[int, Any], lanes: Lanes) -> int:
        """Put the listening sockets into the loop; the number of connections that it can hold."""
        most = _open_files() // 2  # a body may need a temporary file
        largest = getattr(self.wsgi, "config", {}).get("MAX_CONTENT_LENGTH") or 64 * 2**20
        create_server(
            self.wsgi,
            map=sockets,
            _dispatcher=lanes,
            sockets=[listener.sock for listener in self.sockets],
            backlog=self.cfg.backlog,
            connection_limit=most,
            channel_timeout=int(IDLE_S + SENDING_S),  # `close_slow` is stricter
            asyncore_use_poll=True,
            max_request_header_size=64 * 2**10,
            max_request_body_size=largest + 2**20,  # above the app's own limit, which answers in words
            inbuf_overflow=IN_MEMORY,
            outbuf_overflow=16 * 2**20,
            outbuf_high_watermark=2**30,  # no thread waits for a client to take its answer
            clear_untrusted_proxy_headers=False,
            log_socket_errors=False,
            url_prefix=os.environ.get("SCRIPT_NAME", ""),
            server_name="localhost",
            ident="ADClick",
        )
        for server in _of_kind(sockets, BaseWSGIServer):
            server.channel_class = DeadlineChannel
            server.is_secure = self._is_secure
        return most

    def _is_secure(self, environ: dict[str, Any]) -> bool:
        """Whether a proxy that gunicorn's settings trust says that the client speaks TLS."""
        trusted = [str(address) for address in self.cfg.forwarded_allow_ips]
        if "*" not in trusted and environ["REMOTE_ADDR"] not in trusted:
            return False
        told = self.cfg.secure_scheme_headers.items()
        return any(environ.get("HTTP_" + name.upper().replace("-", "_")) == value for name, value in told)

    def _watch_master(self, sockets: dict[int, Any]) -> None:
        """Wake the loop when the master ends, however it does, so that the port is free at once."""
        with suppress(AttributeError, OSError):  # not on every system; then the loop looks once a second
            handle = os.pidfd_open(self.ppid)
            _Wake(handle, sockets, is_message=False)
            os.close(handle)

    def _turn(self, sockets: dict[int, Any], most: int) -> None:
        wasyncore.loop(timeout=_TICK_S, use_poll=True, map=sockets, count=1)
        now = time.monotonic()
        if now - getattr(self, "_looked", 0.0) >= _TICK_S:
            self._looked = now
            self.notify()
            channels = _of_kind(sockets, DeadlineChannel)
            close_slow(channels, now, most=most * 9 // 10, most_bytes=_UNFINISHED_BYTES)

    def _finish(self, sockets: dict[int, Any], most: int) -> None:
        """Take no more connections, and answer what has arrived, as long as gunicorn's graceful timeout allows."""
        if (services := getattr(self.wsgi, "extensions", {}).get("adclick")) is not None:
            services.draining = True
        for server in _of_kind(sockets, BaseWSGIServer):
            wasyncore.dispatcher.close(
                server
            )  # and not its own `close`, which takes the threads' wake-up call away
        for wake in _of_kind(sockets, _Wake):
            wake.close()
        deadline = time.monotonic() + max(self.cfg.graceful_timeout - _SPARE_S, 1.0)
        while time.monotonic() < deadline:
            if all(channel.is_unasked for channel in _of_kind(sockets, DeadlineChannel)):
                break
            self._turn(sockets, most)


class _Wake(wasyncore.file_dispatcher):  # type: ignore[misc]
    """A file that wakes the loop when it can be read.

    Args:
        file: its descriptor, which is copied.
        sockets: of the loop.
        is_message: whether what it says is read away; else it wakes once.
    """

    def __init__(self, file: int, sockets: dict[int, Any], *, is_message: bool = True) -> None:
        super().__init__(file, sockets)
        self._is_message = is_message

    def writable(self) -> bool:
        """Nothing is ever written."""
        return False

    def handle_read(self) -> None:
        """Called by the loop."""
        if not self._is_message:
            self.close()
            return
        with suppress(OSError):
            self.recv(4096)


def _of_kind(sockets: dict[int, Any], kind: type[Any]) -> list[Any]:
    return [one for one in list(sockets.values()) if isinstance(one, kind)]


def _open_files() -> int:
    """Open as many files as the system allows, up to what `_CONNECTIONS` need; that number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = 2 * _CONNECTIONS if hard == unlimited else min(hard, 2 * _CONNECTIONS)
    if soft != unlimited and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return 2 * _CONNECTIONS if soft == unlimited else min(soft, 2 * _CONNECTIONS)
