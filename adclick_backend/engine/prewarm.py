"""Preparing images in the background, so that the first click on an opened task is already a warm one."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, NamedTuple

log = logging.getLogger(__name__)


class _Job(NamedTuple):
    work: Callable[[], Any]
    future: Future[Any]
    host: str


class Prewarmer:
    """A few threads that work through a short queue, the newest job first.

    The newest first, because it is the task that a person just opened; the oldest is dropped when the queue
    is full, because its image is prepared by the click itself if that ever comes. One host gets at most half of the
    threads, so that images which never arrive delay no other host's.

    Args:
        threads: how many jobs run at once.
        capacity: how many wait at most.
        on_change: told the number of waiting jobs whenever it changes.
    """

    def __init__(
        self, *, threads: int = 4, capacity: int = 32, on_change: Callable[[int], object] = lambda _: None
    ) -> None:
        self.capacity = capacity
        self._on_change = on_change
        self._count = threads
        self._count_a_host = -(-threads // 2)
        self._waiting: OrderedDict[Hashable, _Job] = OrderedDict()
        self._running: dict[Hashable, _Job] = {}
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._pid = 0

    def submit(
        self, key: Hashable, job: Callable[[], Any], *, soon: bool = True, host: str = ""
    ) -> Future[Any]:
        """Do `job` soon. One that waits or runs under the same `key` is not done twice.

        Args:
            key: of the job.
            job: what to do.
            soon: before all that waits; otherwise after it, and dropped first.
            host: that the job has to ask for something; "" for none.

        Returns:
            What the job will have answered; cancelled when it was dropped. Nobody has to wait for it.
        """
        with self._changed:
            if key in self._running:
                return self._running[key].future
            future: Future[Any] = self._waiting[key].future if key in self._waiting else Future()
            if self._stopping:
                future.cancel()
                return future
            self._waiting[key] = _Job(job, future, host)
            self._waiting.move_to_end(key, last=soon)
            while len(self._waiting) > self.capacity:
                self._waiting.popitem(last=False)[1].future.cancel()
            self._start()
            self._on_change(len(self._waiting))
            self._changed.notify()
            return future

    def join(self, timeout_s: float) -> bool:
        """Wait until nothing waits or runs; False when that took longer than `timeout_s` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._running, timeout_s)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Drop what waits and let what runs finish, in `timeout_s` seconds altogether."""
        with self._changed:
            self._stopping = True
            for waiting in self._waiting.values():
                waiting.future.cancel()
            self._waiting.clear()
            self._changed.notify_all()
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.0))

    def _start(self) -> None:
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()  # threads do not come along through a fork
        self._running.clear()
        self._threads = [
            threading.Thread(target=self._work, name=f"prewarm-{number}", daemon=True)
            for number in range(self._count)
        ]
        for thread in self._threads:
            thread.start()

    def _next(self) -> Hashable | None:
        """The key of the job to do now; None when none waits whose host has a thread left."""
        busy = Counter(job.host for job in self._running.values())
        free = (key for key, job in reversed(self._waiting.items()) if busy[job.host] < self._count_a_host)
        return next(free, None)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._next() is not None)
                if self._stopping:
                    return
                key = self._next()
                self._running[key] = job = self._waiting.pop(key)
                self._on_change(len(self._waiting))
            try:
                answer = job.work()
            except Exception as error:
                log.exception("Preparing %s failed", key)
                job.future.set_exception(error)
            else:
                job.future.set_result(answer)
            with self._changed:
                self._running.pop(key, None)
                self._changed.notify_all()
