"""Work in shards, each done whole or not at all: by this process, one after the other, or by a pool of a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Generic, Protocol, TypeVar

from adclick_backend.cluster.connection import WorkerLost

Item = TypeVar("Item")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)

SHARD = 16
"""Items of a shard for a pool: few enough to be lost, and enough that handing them out costs nothing."""


class Workers(Protocol[Item, Result_co]):
    """Whoever works on shards."""

    def results(
        self, shards: Iterable[list[Item]], waiting: Callable[[str], object]
    ) -> Iterator[tuple[list[Item], Result_co | WorkerLost]]:
        """Each shard once with what came of it, in the order in which they are done.

        Shards are only asked for when somebody can take them. Instead of a result comes the reason why a single item
        was given up: it ends whoever works on it.

        Args:
            shards: of the work.
            waiting: told about every second what is waited for, or "" while somebody works; may raise, which ends all.
        """

    def again(self, items: list[Item]) -> None:
        """While the results are read: items that have to be done once more."""


class Here(Generic[Item, Result]):
    """This process.

    Args:
        work: does a shard.
    """

    def __init__(self, work: Callable[[list[Item]], Result]) -> None:
        self._work = work
        self._again: deque[list[Item]] = deque()

    def results(
        self, shards: Iterable[list[Item]], waiting: Callable[[str], object]
    ) -> Iterator[tuple[list[Item], Result | WorkerLost]]:
        """See `Workers`."""
        rest = iter(shards)
        while shard := self._again.popleft() if self._again else next(rest, []):
            yield shard, self._work(shard)

    def again(self, items: list[Item]) -> None:
        """See `Workers`."""
        self._again.append(items)


def cut(items: Iterable[Item], size: int = SHARD) -> Iterator[list[Item]]:
    """The items in shards."""
    rest = iter(items)
    while shard := list(islice(rest, size)):
        yield shard
