"""The detector's server: a thread a connection, bounded in everything that a client could fill."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
import time
from functools import partial
from http.server import ThreadingHTTPServer
from typing import Any

from adclick_runtime.serving.handler import Handler
from adclick_runtime.serving.shared import Shared

log = logging.getLogger(__name__)

CONNECTIONS = 128
"""Beyond these, the one that has been asking for nothing for longest is closed for a new one."""

GRACE_S = 25.0
"""So long requests that have arrived are answered when the server is told to stop; Kubernetes waits 30 s."""


class DetectionServer(ThreadingHTTPServer):
    """Serves one detector; listens once it is made, and answers from `serve_forever` on.

    Args:
        shared: the detector and its rules; its settings say where to listen.

    Raises:
        OSError: the port is taken, or the address none of this machine.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = CONNECTIONS

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        host = shared.settings.listen_on
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, shared.settings.port), partial(Handler, shared))

    def server_bind(self) -> None:
        """Without asking the network for this machine's name, as HTTPServer does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread, while not too many wait for answers."""
        if self.shared.enter(request, CONNECTIONS):
            super().process_request(request, client_address)
        else:
            log.warning("A connection was refused: %d wait for answers.", CONNECTIONS)
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Called when a connection is over."""
        self.shared.leave(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Called for what a connection raised: clients that are gone or too slow, mostly."""
        error = sys.exc_info()[1]
        expected = isinstance(error, (ConnectionError, TimeoutError))
        level = logging.DEBUG if expected else logging.ERROR
        log.log(level, "A connection was lost: %s", type(error).__name__, exc_info=not expected)

    def finish(self, seconds: float = GRACE_S) -> None:
        """Take no more connections, end those that ask for nothing, and answer what has arrived.

        Args:
            seconds: what is not answered by then is dropped.
        """
        self.shared.stopping = True
        self.server_close()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.shared.end_idle()
            if not self.shared.unanswered:
                return
            time.sleep(0.05)
        log.warning("%d requests were not answered within %.0f s.", self.shared.unanswered, seconds)


def serve(server: DetectionServer) -> None:
    """Serve until the process is told to stop (SIGTERM, or Ctrl-C), and finish what has arrived."""

    def stop(number: int, _: Any) -> None:
        log.info("Told to stop (%s).", signal.Signals(number).name)
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.serve_forever(poll_interval=0.2)
    server.finish()
