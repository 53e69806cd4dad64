"""Connections of requests that are shut at the deadline of a :class:`~adclick_backend.downloads.watchdog.Watchdog`."""

from __future__ import annotations

import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from adclick_backend.downloads.watchdog import watching


def _watch(sock: Any) -> None:
    watchdog = watching.get()
    if watchdog is not None and sock is not None:
        watchdog.watch(sock)


class _Watched:
    """What both kinds of connections do besides."""

    sock: Any

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        _watch(sock)
        return sock

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request, perhaps over a connection that was kept; after a handshake the socket is another object."""
        _watch(self.sock)
        super().request(*args, **options)  # type: ignore[misc]


class _Connection(_Watched, HTTPConnection):
    pass


class _SecureConnection(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class WatchedAdapter(HTTPAdapter):
    """Like that of requests, for sessions whose requests are made inside a watchdog's block."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Called by the adapter itself."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Called by the adapter for hosts behind a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager
