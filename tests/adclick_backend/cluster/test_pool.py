"""A pool whose workers are lost, over a cluster of threads' simplicity: calls are done when they are waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from adclick_backend.cluster import pool as pool_module
from adclick_backend.cluster.connection import ClusterError, WorkerLost
from adclick_backend.cluster.pool import AT_HAND, Pool, PoolWorker
from adclick_backend.cluster.shards import Here, cut


class Call:
    """One call of a worker's method."""

    def __init__(self, worker: FakeWorker, name: str, given: tuple[Any, ...]) -> None:
        self.worker, self.name, self.given = worker, name, given


class Method:
    def __init__(self, worker: FakeWorker, name: str) -> None:
        self._worker, self._name = worker, name

    def remote(self, *given: Any) -> Call:
        return Call(self._worker, self._name, given)


class FakeWorker:
    def __init__(self) -> None:
        self.does, self.alive = PoolWorker(), True
        self.open, self.work = Method(self, "open"), Method(self, "work")


class FakeCluster:
    """Nodes with one processor each. An item that is negative ends the worker that works on it."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        self.workers: list[FakeWorker] = []
        self.started = 0

    def start(self, kind: type, **size: int) -> FakeWorker:
        self.started += 1
        self.workers.append(FakeWorker())
        return self.workers[-1]

    def end(self, worker: FakeWorker) -> None:
        worker.alive = False
        if worker in self.workers:
            self.workers.remove(worker)

    def finished(self, answers: Sequence[Call], timeout_s: float) -> list[Call]:
        return [call for call in answers if self.workers.index(call.worker) < self.nodes][-1:]

    def result(self, call: Call) -> Any:
        if call.name == "work" and min(call.given[0]) < 0:
            raise WorkerLost("It ran out of memory.")
        return getattr(call.worker.does, call.name)(*call.given)

    def room(self, **size: int) -> int:
        return max(self.nodes - len(self.workers), 0)

    def why_waiting(self, **size: int) -> str:
        return "Waiting for a free processor in the Ray cluster."


def doubling() -> Callable[[list[int]], list[int]]:
    return lambda items: [2 * item for item in items]


def doubled(cluster: FakeCluster, shards: Iterator[list[int]], **options: Any) -> dict[int, Any]:
    pool: Pool[int, list[int]] = Pool(cluster, doubling, (), **options)  # type: ignore[arg-type]
    found: dict[int, Any] = {}
    for items, result in pool.results(shards, lambda sentence: None):
        for number, item in enumerate(items):
            assert item not in found
            found[item] = result if isinstance(result, WorkerLost) else result[number]
    return found


def test_every_item_comes_back_once() -> None:
    cluster = FakeCluster(3)
    assert doubled(cluster, cut(range(1, 1000), 10)) == {item: 2 * item for item in range(1, 1000)}
    assert (cluster.started, cluster.workers) == (3, [])
    few = FakeCluster(3)
    assert len(doubled(few, cut(range(100), 10), most=2)) == 100
    assert few.started == 2


def test_shards_are_only_made_when_somebody_takes_them() -> None:
    made = []

    def shards() -> Iterator[list[int]]:
        for number in range(100):
            made.append(number)
            yield [number]

    pool: Pool[int, list[int]] = Pool(FakeCluster(2), doubling, ())  # type: ignore[arg-type]
    for done, _ in enumerate(pool.results(shards(), lambda sentence: None)):
        assert len(made) <= done + 1 + 2 * AT_HAND + 1


def test_an_item_that_ends_its_worker_is_given_up_and_nothing_else_is() -> None:
    found = doubled(FakeCluster(2), cut([1, 2, -3, 4, 5, 6, 7, 8], 4))
    assert isinstance(found.pop(-3), WorkerLost)
    assert found == {item: 2 * item for item in (1, 2, 4, 5, 6, 7, 8)}


def test_with_no_node_left_it_waits_in_words_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "GROW_S", 0.0)
    cluster, said = FakeCluster(1), []

    def waiting(sentence: str) -> None:
        said.append(sentence)
        if len(said) == 2:
            cluster.nodes = 0
        if len(said) == 6:
            cluster.nodes = 1

    pool: Pool[int, list[int]] = Pool(cluster, doubling, ())  # type: ignore[arg-type]
    found = [item for items, _ in pool.results(cut(range(40), 10), waiting) for item in items]
    assert sorted(found) == list(range(40))
    assert "" in said


def test_items_that_are_asked_for_again_are_done_again() -> None:
    for workers in (Pool(FakeCluster(1), doubling, ()), Here(doubling())):  # type: ignore[arg-type, var-annotated]
        seen: list[int] = []
        for items, _ in workers.results(cut([1, 2, 3], 2), lambda sentence: None):
            if items == [1, 2] and 2 not in seen:
                workers.again([2])
            seen += items
        assert sorted(seen) == [1, 2, 2, 3]


def test_a_worker_that_cannot_begin_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "__version__", "0.0.1")
    with pytest.raises(ClusterError, match=r"this backend 0\.0\.1"):
        doubled(FakeCluster(1), cut(range(10)))


def test_workers_that_are_lost_while_they_begin_are_not_started_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lost(cluster: FakeCluster, call: Call) -> None:
        raise WorkerLost("It ran out of memory.")

    monkeypatch.setattr(FakeCluster, "result", lost)
    with pytest.raises(ClusterError, match="end before they begin: It ran out of memory"):
        doubled(FakeCluster(1), cut(range(10)))
