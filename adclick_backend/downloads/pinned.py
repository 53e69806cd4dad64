"""Connections to addresses that were looked at before, under the name of their host."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPConnection
from pathlib import Path

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from adclick_backend.downloads.hosts import Target
from adclick_backend.downloads.watchdog import Watchdog


def trusted_authorities() -> ssl.SSLContext:
    """The authorities that requests trusts in the rest of the process: REQUESTS_CA_BUNDLE, else its own."""
    with requests.Session() as session:
        bundle = session.merge_environment_settings("", {}, None, None, None)["verify"]
    path = Path(bundle if isinstance(bundle, str) else DEFAULT_CA_BUNDLE_PATH)
    if path.is_dir():
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)


class PinnedConnection(HTTPConnection):
    """A connection to addresses that are already decided, under the host's name."""

    def __init__(
        self,
        target: Target,
        addresses: list[str],
        connect_timeout_s: float,
        tls: ssl.SSLContext | None,
        watchdog: Watchdog,
    ) -> None:
        super().__init__(target.host, target.port)
        self._addresses = addresses
        self._connect_timeout_s = connect_timeout_s
        self._tls = tls
        self._watchdog = watchdog

    def connect(self) -> None:
        """Connect to the first address that answers."""
        self.sock = self._first_answer()
        self._watchdog.watch(self.sock)
        if self._tls:
            secure = self._tls.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock = secure
            self._watchdog.watch(secure)
            secure.do_handshake()

    def _first_answer(self) -> socket.socket:
        failure: OSError = ConnectionError("it has no address")
        for address in self._addresses:
            patience = min(self._connect_timeout_s, self._watchdog.remaining())
            try:
                return socket.create_connection((address, self.port), patience)
            except TimeoutError:
                failure = TimeoutError(f"no connection within {patience:.3g} s (ADCLICK_CONNECT_TIMEOUT_S)")
            except OSError as error:
                failure = error
        raise failure
