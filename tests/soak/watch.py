"""What is looked at all day long: the server's health, and the memory of its processes."""

from __future__ import annotations

import threading

from tests.soak.client import Client
from tests.soak.record import Record, Sample
from tests.soak.server import Server

HEALTH_S, MEMORY_S = 1.0, 2.0


class Watch:
    """Two threads, until told to stop."""

    def __init__(self, server: Server, client: Client, record: Record, stop: threading.Event) -> None:
        self._server, self._client, self._record, self._stop = server, client, record, stop
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._health, self._memory)]

    def start(self) -> None:
        """Begin to look."""
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait for the last look."""
        for thread in self._threads:
            thread.join(60)

    def _health(self) -> None:
        while not self._stop.wait(HEALTH_S):
            self._client.health()

    def _memory(self) -> None:
        while not self._stop.wait(MEMORY_S):
            processes = self._server.processes()
            server = sum(one.resident_mb for one in processes if not one.is_job)
            everything = sum(one.resident_mb for one in processes)
            self._record.samples.append(Sample(self._record.now, everything, server))
