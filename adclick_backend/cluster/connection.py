"""A Ray cluster, joined for as long as one job or one command lasts; what may be wrong with it is said in words."""

from __future__ import annotations

import importlib
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from adclick_backend import __version__

CONNECT_S = 3.0
HEAD_LOST_S = 15.0
"""Seconds without an answer after which the head is taken for dead. Ray itself ends the process after 60."""

_SENTENCE = re.compile(r"Ray: (?P<ray>\S+)\s+Python: (?P<python>\S+)")


class ClusterError(RuntimeError):
    """The cluster cannot be used; the message says why and what to do."""


class ClusterAway(ClusterError):
    """The head does not answer; it may be back soon."""


class WorkerLost(ClusterError):
    """A worker is gone, with its node or alone; what it did can be done elsewhere."""


class Cluster:
    """A cluster that this process has joined; see `joined`. Its methods are all that the backend knows of Ray.

    Args:
        ray: the module.
        address: of the head, ``host:port``.
    """

    def __init__(self, ray: Any, address: str) -> None:
        self._ray = ray
        self.address = address

    def start(self, kind: type, *, cpus: int, gpus: int) -> Any:
        """Start a worker, an object of `kind` in a process of its own, on a node that has so much left.

        The answer stands for it at once; it may be a while until a node has room. Nothing is tried again behind the
        caller's back, and the worker ends with this process.
        """
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": 0, "max_task_retries": 0}
        return self._ray.remote(kind).options(**options).remote()

    def end(self, worker: Any) -> None:
        """End a worker, whatever it does."""
        with suppress(Exception):  # it is gone, or the cluster is
            self._ray.kill(worker)

    def finished(self, answers: Sequence[Any], timeout_s: float) -> list[Any]:
        """Those of the answers that are there by now; waits until one is."""
        if not answers:
            return []
        done, _ = self._ray.wait(list(answers), num_returns=len(answers), timeout=0)
        if not done:
            done, _ = self._ray.wait(list(answers), num_returns=1, timeout=timeout_s)
        return list(done)

    def result(self, answer: Any) -> Any:
        """What a worker's method returned.

        Raises:
            WorkerLost: the worker is gone.
            ClusterError: it runs another release, or none.
            Exception: what the method raised.
        """
        errors = self._ray.exceptions
        try:
            return self._ray.get(answer)
        except errors.RayTaskError as error:
            raise error.cause if isinstance(error.cause, Exception) else ClusterError(str(error)) from None
        except errors.RayError as error:
            if "No module named 'adclick" in str(error):
                raise ClusterError(
                    f"A node of the Ray cluster at {self.address} has no adclick-backend: install release "
                    f"{__version__} in the Python that runs Ray there."
                ) from error
            first = next(
                (line.strip() for line in str(error).splitlines() if line.strip()), "no reason given"
            )
            raise WorkerLost(first) from error

    def room(self, *, cpus: int, gpus: int) -> int:
        """How many workers of that size would find room now."""
        free = self._ray._private.state.available_resources_per_node()
        return sum(_fits(node, cpus, gpus) for node in free.values())

    def most(self, *, cpus: int, gpus: int) -> int:
        """How many workers of that size fit into the cluster when nothing else runs there."""
        return sum(_fits(node["Resources"], cpus, gpus) for node in self._ray.nodes() if node["Alive"])

    def why_waiting(self, *, cpus: int, gpus: int) -> str:
        """Why a worker of that size has not started yet, as a sentence for a person."""
        size = f"{gpus} GPU" if gpus else f"{cpus} free processors" if cpus > 1 else "a free processor"
        if self.most(cpus=cpus, gpus=gpus):
            return f"Waiting for {size} in the Ray cluster."
        largest = max(
            (int(node["Resources"].get("CPU", 0)) for node in self._ray.nodes() if node["Alive"]), default=0
        )
        if gpus:
            return "Waiting for a GPU: no node of the Ray cluster has one. Add such a node, or set ADCLICK_DEVICE=cpu."
        return (
            f"Waiting for a node with {cpus} processors: the largest of the Ray cluster has {largest}. Add such a "
            "node, or set ADCLICK_TRAINING_THREADS to fewer."
        )


@contextmanager
def joined(address: str, lost: Callable[[], object]) -> Iterator[Cluster]:
    """Join the cluster whose head is at `address`, from a machine that is one of its nodes, and leave it again.

    Args:
        address: ``host:port``.
        lost: called in a thread when the head has not answered for `HEAD_LOST_S`; Ray ends the process soon after.

    Raises:
        ClusterAway: the head does not answer.
        ClusterError: Ray is not installed, or the cluster cannot be used.
    """
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ClusterError(
            "ADCLICK_RAY_ADDRESS is set and Ray is not installed: run `pip install 'adclick-backend[ray]'`."
        ) from error
    check_head(address)
    os.environ.setdefault("RAY_COLOR_PREFIX", "0")  # what workers say is a part of a log
    try:
        ray.init(address=address, log_to_driver=True, logging_level="WARNING", include_dashboard=False)
    except Exception as error:
        raise ClusterError(_why(error, address, ray.__version__)) from error
    left = threading.Event()
    watch = threading.Thread(target=_watch_head, args=(address, left, lost), name="watch-head", daemon=True)
    watch.start()
    try:
        yield Cluster(ray, address)
    finally:
        ray.shutdown()
        left.set()


def check_head(address: str) -> None:
    """Whether something listens there.

    Raises:
        ClusterAway: nothing does.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise ClusterAway(
            f"The Ray cluster at {address} (ADCLICK_RAY_ADDRESS) does not answer: {error.strerror or error}."
        ) from error


def check_release(ours: str, node: str) -> None:
    """In a worker: whether the node runs the release of the backend that asks.

    Raises:
        ClusterError: it does not.
    """
    if ours != __version__:
        raise ClusterError(
            f"The node {node} of the Ray cluster runs adclick-backend {__version__} and this backend {ours}: "
            "install the same release on both."
        )


def _fits(resources: dict[str, float], cpus: int, gpus: int) -> int:
    by_cpu = int(resources.get("CPU", 0) // cpus) if cpus else sys.maxsize
    by_gpu = int(resources.get("GPU", 0) // gpus) if gpus else sys.maxsize
    return min(by_cpu, by_gpu)


def _why(error: Exception, address: str, ours: str) -> str:
    """Why a cluster that answers could not be joined."""
    versions = [(found["ray"], found["python"]) for found in _SENTENCE.finditer(str(error))]
    if len(versions) == 2:
        (ray, python), mine = versions[0], sys.version.split()[0]
        return (
            f"The Ray cluster at {address} runs Ray {ray} with Python {python}, and this backend Ray {ours} with "
            f"Python {mine}: both have to be the same."
        )
    return (
        f"The Ray cluster at {address} could not be joined: {' '.join(str(error).split())[:300]} The backend's machine "
        f"has to be one of its nodes: run `ray start --address={address} --num-cpus=0` there."
    )


def _watch_head(address: str, left: threading.Event, lost: Callable[[], object]) -> None:
    silent_s, every_s = 0.0, 2.0
    while not left.wait(every_s):
        try:
            check_head(address)
        except ClusterAway:
            silent_s += every_s + 1.0
            if silent_s >= HEAD_LOST_S:
                lost()
                return
        else:
            silent_s = 0.0
