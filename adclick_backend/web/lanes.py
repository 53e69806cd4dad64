"""Threads for requests that have arrived whole, so that one kind of request never waits for another kind."""

from __future__ import annotations

import logging
from typing import Any

from waitress.task import ThreadedTaskDispatcher  # type: ignore[import-untyped]

_FEWEST_FOR_PAGES = 4

logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # that requests wait for a thread is no news


class Lanes:
    """What waitress calls a task dispatcher, with a queue and threads for each of three kinds of requests.

    ``/health`` has a thread to itself, because whoever asks decides by the answer whether the server is alive.
    ``/predict`` has as many as the settings say; each may wait long for another server. What is left, webhooks,
    ``/setup`` and the dashboard, has half as many and at least four.

    Args:
        threads: requests for predictions at a time.
        prefix: path below which the app is mounted, "" for none.
    """

    def __init__(self, threads: int, prefix: str = "") -> None:
        self._prefix = prefix
        self._pages = ThreadedTaskDispatcher()
        self._lanes = {"/predict": ThreadedTaskDispatcher(), "/health": ThreadedTaskDispatcher()}
        self._lanes["/predict"].set_thread_count(threads)
        self._lanes["/health"].set_thread_count(1)
        self._pages.set_thread_count(max(_FEWEST_FOR_PAGES, threads // 2))

    def add_task(self, channel: Any) -> None:
        """Answer the first request of a connection as soon as its kind has a thread."""
        request = channel.requests[0]
        path = "" if request.error else "/" + request.path.lstrip("/")  # as waitress hands it to the app
        self._lanes.get(path.removeprefix(self._prefix), self._pages).add_task(channel)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 1.0) -> None:
        """Drop what waits, and give the threads `timeout` seconds each to end."""
        for lane in (*self._lanes.values(), self._pages):
            lane.shutdown(cancel_pending, timeout)
