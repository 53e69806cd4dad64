"""Workers of a cluster that hold what they work with, networks for example, and get through shards of work.

A shard whose worker is gone is given to another one. Results are handed to one process, which alone keeps them: so
nothing is kept twice, whatever was done twice.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic

from adclick_backend import __version__
from adclick_backend.cluster.connection import Cluster, ClusterError, WorkerLost, check_release
from adclick_backend.cluster.shards import Item, Result

log = logging.getLogger(__name__)

AT_HAND = 2
"""Shards that a worker has at a time: the next one is there when it is through with the first."""
LOSSES = 3
"""Workers that may be lost with a shard before its items are tried one by one, and with an item before it is given up,
for it may be what ends them."""
GROW_S = 5.0
"""Seconds between looks for room for more workers."""
WAIT_S = 1.0


class PoolWorker:
    """In a process of the cluster: opens what it needs once, and works on shards."""

    def open(self, release: str, make: Callable[..., Callable[[Any], Any]], given: tuple[Any, ...]) -> str:
        """Get ready; answers the name of the node, and the number of the process there.

        Raises:
            ClusterError: another release is installed here.
        """
        node = socket.gethostname()
        check_release(release, node)
        self._work = make(*given)
        return f"{node} (process {os.getpid()})"

    def work(self, items: list[Any]) -> Any:
        """Do one shard."""
        return self._work(items)


@dataclass
class _Shard(Generic[Item]):
    items: list[Item]
    losses: int = 0


@dataclass
class _Worker(Generic[Item]):
    handle: Any
    opening: Any  # the answer that says that it is ready; None once it has
    at_hand: deque[tuple[Any, _Shard[Item]]] = field(default_factory=deque)


class Pool(Generic[Item, Result]):
    """Workers with one processor, or one GPU, each: as many as the cluster has room for. See `Workers`.

    The pool grows when room appears and shrinks when nodes go; with none left it waits for one.

    Args:
        cluster: that was joined.
        make: called once in each worker, as an importable function, with `given`; what it returns does a shard.
        given: for it.
        gpus: of each worker.
        most: workers; 0 for as many as there is room for.
    """

    def __init__(
        self,
        cluster: Cluster,
        make: Callable[..., Callable[[list[Item]], Result]],
        given: tuple[Any, ...],
        *,
        gpus: int = 0,
        most: int = 0,
    ) -> None:
        self._cluster = cluster
        self._opening = (__version__, make, given)
        self._size = {"cpus": 0 if gpus else 1, "gpus": gpus}
        self._most = most
        self._workers: list[_Worker[Item]] = []
        self._again: deque[_Shard[Item]] = deque()
        self._looked_at = float("-inf")
        self._lost_opening = 0

    def results(
        self, shards: Iterable[list[Item]], waiting: Callable[[str], object]
    ) -> Iterator[tuple[list[Item], Result | WorkerLost]]:
        """See `Workers`.

        Raises:
            ClusterError: a worker cannot begin.
            Exception: what the work raised.
        """
        rest = iter(shards)
        try:
            while True:
                more = self._hand_out(rest)
                if not more and not any(worker.at_hand for worker in self._workers):
                    return
                yield from self._collect(more, waiting)
        finally:
            for worker in self._workers:
                self._cluster.end(worker.handle)
            self._workers.clear()

    def again(self, items: list[Item]) -> None:
        """See `Workers`."""
        self._again.append(_Shard(items))

    def _hand_out(self, rest: Iterator[list[Item]]) -> bool:
        """Give shards to those that have fewer than they can; whether there may be more of them."""
        ready = [worker for worker in self._workers if worker.opening is None]
        for round_ in range(AT_HAND):
            for worker in ready:
                if len(worker.at_hand) > round_:
                    continue
                shard = self._next(rest)
                if shard is None:
                    return False
                worker.at_hand.append((worker.handle.work.remote(shard.items), shard))
        if len(ready) == len(self._workers):
            return self._grow(rest)
        return True

    def _next(self, rest: Iterator[list[Item]]) -> _Shard[Item] | None:
        if self._again:
            return self._again.popleft()
        items = next(rest, None)
        return _Shard(items) if items else None

    def _grow(self, rest: Iterator[list[Item]]) -> bool:
        """Start as many workers as there is room for, and one to wait for room if there are none."""
        if self._workers and time.monotonic() - self._looked_at < GROW_S:
            return True
        shard = self._next(rest)  # nobody is started for nothing
        if shard is None:
            return False
        self._again.appendleft(shard)
        self._looked_at = time.monotonic()
        room = self._cluster.room(**self._size)
        if self._most:
            room = min(room, self._most - len(self._workers))
        for _ in range(max(room, 0 if self._workers else 1)):
            handle = self._cluster.start(PoolWorker, **self._size)
            self._workers.append(_Worker(handle, handle.open.remote(*self._opening)))
        return True

    def _collect(
        self, more: bool, waiting: Callable[[str], object]
    ) -> Iterator[tuple[list[Item], Result | WorkerLost]]:
        """Wait until something is done, or about a second, and pass it on."""
        answers = {worker.opening: worker for worker in self._workers if worker.opening is not None}
        answers |= {worker.at_hand[0][0]: worker for worker in self._workers if worker.at_hand}
        done = self._cluster.finished(list(answers), WAIT_S)
        working = any(worker.at_hand for worker in self._workers)
        waiting("" if done or working or not more else self._cluster.why_waiting(**self._size))
        for answer in done:
            worker = answers[answer]
            try:
                found = self._cluster.result(answer)
            except WorkerLost as lost:
                yield from self._lose(worker, lost)
                continue
            if answer is worker.opening:
                worker.opening, self._lost_opening = None, 0
                log.info("A worker is ready on %s: %s of them.", found, len(self._workers))
            else:
                yield worker.at_hand.popleft()[1].items, found

    def _lose(self, worker: _Worker[Item], lost: WorkerLost) -> Iterator[tuple[list[Item], WorkerLost]]:
        """A worker is gone: what it had at hand is for others."""
        log.warning("A worker was lost: %s", lost)
        self._workers.remove(worker)
        self._cluster.end(worker.handle)
        self._looked_at = float("-inf")
        if worker.opening is not None:
            self._lost_opening += 1
            if self._lost_opening >= LOSSES:
                raise ClusterError(f"The workers of the Ray cluster end before they begin: {lost}") from lost
            return
        shards = [shard for _, shard in worker.at_hand]
        shards[0].losses += 1  # what it was at; it had not begun the others
        for shard in reversed(shards):
            if shard.losses < LOSSES:
                self._again.appendleft(shard)
            elif len(shard.items) > 1:
                self._again.extendleft(_Shard([item], LOSSES - 1) for item in reversed(shard.items))
            else:
                yield shard.items, lost
