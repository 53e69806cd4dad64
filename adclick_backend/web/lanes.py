"""Threads for requests that have arrived whole, so that one kind of request never waits for another kind."""

from __future__ import annotations

import logging
import re
from typing import Any

from waitress.task import ThreadedTaskDispatcher  # type: ignore[import-untyped]

_FEWEST_FOR_PAGES = 4

_PICTURES = re.compile(r"/projects/[^/]+/(trial|gallery)(/|$)")
_FOR_PICTURES = 3
_FILES = re.compile(r"/projects/[^/]+/labels/export\.zip$")
_FOR_FILES = 2
_FOR_THE_LINE = 2  # one image is looked at, and the next one is read meanwhile

logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # that requests wait for a thread is no news


class Lanes:
    """What waitress calls a task dispatcher, with a queue and threads for each of seven kinds of requests.

    ``/health`` has a thread to itself, because whoever asks decides by the answer whether the server is alive, and so
    has ``/ready``, which waits for a database that does not answer.
    ``/predict`` has as many as the settings say; each may wait long for another server. Images that are tried on the
    dashboard, and the pictures of its gallery, have three: they take seconds, and many are asked for at once. Exports,
    which take as long as their client, have two, and so have images from the line (``/detect``). What is left,
    webhooks, ``/setup`` and the rest of the dashboard, has half as many as ``/predict`` and at least four.

    Args:
        threads: requests for predictions at a time.
        prefix: path below which the app is mounted, "" for none.
    """

    def __init__(self, threads: int, prefix: str = "") -> None:
        self._prefix = prefix
        self._pages, self._pictures = ThreadedTaskDispatcher(), ThreadedTaskDispatcher()
        self._files = ThreadedTaskDispatcher()
        self._slow = ((_PICTURES, self._pictures), (_FILES, self._files))
        self._lanes = {
            path: ThreadedTaskDispatcher() for path in ("/predict", "/health", "/ready", "/detect")
        }
        self._lanes["/predict"].set_thread_count(threads)
        self._lanes["/health"].set_thread_count(1)
        self._lanes["/ready"].set_thread_count(1)
        self._lanes["/detect"].set_thread_count(_FOR_THE_LINE)
        self._pictures.set_thread_count(_FOR_PICTURES)
        self._files.set_thread_count(_FOR_FILES)
        self._pages.set_thread_count(max(_FEWEST_FOR_PAGES, threads // 2))

    def add_task(self, channel: Any) -> None:
        """Answer the first request of a connection as soon as its kind has a thread."""
        request = channel.requests[0]
        path = "" if request.error else "/" + request.path.lstrip("/")  # as waitress hands it to the app
        path = path.removeprefix(self._prefix)
        others = next((lane for kind, lane in self._slow if kind.match(path)), self._pages)
        self._lanes.get(path, others).add_task(channel)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 1.0) -> None:
        """Drop what waits, and give the threads `timeout` seconds each to end."""
        for lane in (*self._lanes.values(), self._pictures, self._files, self._pages):
            lane.shutdown(cancel_pending, timeout)
